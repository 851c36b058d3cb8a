// What the page asks of the server: JSON both ways, and the events of an answer as they come.

export class Failure extends Error {
  constructor(reason, message, { violations = [], retryAfter = null } = {}) {
    super(message);
    this.reason = reason;
    this.violations = violations;
    this.retryAfter = retryAfter;
  }
}

const detail = (error, type) => (error.details || []).find((one) => one["@type"].endsWith(type)) || {};

const told = (error) => {
  const delay = detail(error, "RetryInfo").retryDelay;
  return new Failure(detail(error, "ErrorInfo").reason || "INTERNAL", error.message, {
    violations: detail(error, "BadRequest").fieldViolations || [],
    retryAfter: delay ? Number.parseFloat(delay) : null,
  });
};

const reach = async (path, options) => {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("UNREACHABLE", "");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw body && body.error ? told(body.error) : new Failure("INTERNAL", `The server answered with status ${response.status}.`);
};

export const model = async () => (await reach("model")).json();
export const recent = async () => (await (await reach("recent")).json()).requests;

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let piece;
    try {
      piece = await reader.read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      return; // the connection broke, which is an end without `done`
    }
    if (piece.done) return;
    const parts = (rest + piece.value).split("\n");
    rest = parts.pop();
    yield* parts;
  }
}

// Hands each event to `heard`; returns once the answer is done, and throws a Failure, or what aborting throws.
export const ask = async (request, signal, heard) => {
  const response = await reach("ask", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
    signal,
  });
  for await (const line of lines(response.body)) {
    const event = JSON.parse(line);
    if (event.error) throw told(event.error);
    heard(event);
    if (event.done) return;
  }
  throw new Failure("CUT", "");
};
