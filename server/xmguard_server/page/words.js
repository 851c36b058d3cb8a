// What the page says in its own words: numbers, verdicts, and errors with what to do about them.

export const known = (value) => value !== undefined && value !== null && Number.isFinite(Number(value));
export const percent = (value) => (known(value) ? `${Math.round(Number(value) * 100)}\u00a0%` : "–");
export const times = (logRatio) => (known(logRatio) ? `${Math.exp(Number(logRatio)).toPrecision(2)} times` : "–");

export const short = (value) => (known(value) ? Number(Number(value).toPrecision(3)).toString() : "–");

export const brief = (value) => (known(value) ? (Number(value) ? Number(value).toPrecision(2) : "0") : "–");

export const nats = (value) => {
  if (value === -Infinity) return "removed";
  const sign = value > 0 ? "+" : value < 0 ? "−" : "";
  return `${sign}${Math.abs(value)}`;
};

export const bytes = (count) =>
  count < 2 ** 20 ? `${Math.ceil(count / 2 ** 10)} KiB` : `${(count / 2 ** 20).toFixed(1).replace(/\.0$/, "")} MiB`;

const languageNames = typeof Intl.DisplayNames === "function" ? new Intl.DisplayNames(["en"], { type: "language" }) : null;

export const language = (tag) => {
  if (!tag || tag === "und") return "language not recognised";
  try {
    return languageNames ? languageNames.of(tag) : tag;
  } catch {
    return tag;
  }
};

// A tag as it was written, or that of a language by the name that it has in the list of this page.
export const tagOf = (said, tags) => {
  const wanted = said.trim();
  return tags.find((tag) => language(tag).toLowerCase() === wanted.toLowerCase()) || wanted;
};

export const DECISIONS = {
  DECISION_CONFLICT: { name: "The sources contradict each other", mark: "≠", kind: "conflict" },
  DECISION_CONSISTENT: { name: "The sources agree", mark: "=", kind: "consistent" },
  DECISION_UNDETERMINED: { name: "Undetermined", mark: "?", kind: "undetermined" },
};

export const STATUSES = {
  STATUS_SKIPPED: "The check was skipped.",
  STATUS_ERROR: "The check failed.",
};

export const ENDS = {
  FINISH_REASON_LENGTH: "Cut at the longest answer allowed; Options has the limit.",
  FINISH_REASON_ABSTAINED: "No answer was given because the sources disagree.",
  FINISH_REASON_CLOSED: "No answer was given because no verdict could be established; under Options you can ask for one all the same.",
};

// By reason of an error: what happened, and what to do. The server's own sentence stands between the two.
const FAILURES = {
  REQUEST_INVALID: ["The server does not take this", "Change what is named above, and ask again."],
  REQUEST_MALFORMED: ["The server does not understand this page", "Load the page again."],
  PROMPT_TOO_LONG: ["That is too much text for this model", "Shorten the sources, or leave one out."],
  REQUEST_TOO_LARGE: ["That is too large", "Use fewer or smaller sources."],
  MODALITY_NOT_SUPPORTED: ["This model cannot read one of the sources", "Take the picture out, or describe it in a text."],
  MODEL_LOADING: ["The model is still being loaded", "Ask again in a moment."],
  ENGINE_FAILED: ["The model failed", "Ask again; if it stays so, whoever runs the server finds the cause in its log."],
  OUT_OF_MEMORY: ["The model ran out of memory", "Use fewer or shorter sources."],
  WORKER_LOST: ["The process that ran the model was lost", "Ask again; it is being started anew."],
  QUEUE_FULL: ["The server is busy", "Wait a little, and ask again."],
  QUEUE_TIMEOUT: ["The server is busy", "Wait a little, and ask again."],
  CALLER_LIMIT: ["You have too many questions open", "Wait until one is answered."],
  SHUTTING_DOWN: ["The server is being stopped", "Ask again when it is back."],
  DEADLINE_EXCEEDED: ["The answer took too long", "Use shorter sources, or allow a shorter answer."],
  UNAUTHENTICATED: ["The server does not know you", "Load the page again, and give a token as the password."],
  PERMISSION_DENIED: [
    "You may see this page, but not ask",
    "Use a token with both scopes: xmguard token new NAME --scope admin --scope guard.",
  ],
  INTERNAL: ["Something is broken on the server", "Whoever runs it finds the cause in its log."],
  UNREACHABLE: ["The server cannot be reached", "See whether it still runs, and ask again."],
  CUT: ["The answer was cut off", "The connection ended before the answer did. Ask again."],
};

export const failure = (reason) => FAILURES[reason] || FAILURES.INTERNAL;

// Paths of the contract in words: `spans[1].text` is "Source s2, text".
export const place = (path) => {
  const words = { media_type: "kind of file", data: "file", source: "name" };
  const others = { request: "", spans: "Sources", "decoding.max_tokens": "Longest answer" };
  const found = /^spans\[(\d+)\]\.?(.*)$/.exec(path);
  if (!found) return others[path] ?? path[0].toUpperCase() + path.slice(1);
  const last = found[2].split(".").pop();
  return `Source s${Number(found[1]) + 1}${last ? `, ${words[last] || last}` : ""}`;
};

// A sentence of the server's that begins with a path.
export const inWords = (sentence) => {
  const found = /^(spans\[\d+\][\w.]*): (.*)$/s.exec(sentence);
  return found ? `${place(found[1])}: ${found[2]}` : sentence;
};
