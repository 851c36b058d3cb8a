// Loads a guard over gRPC. What is done is in the environment: KIND unary|stream, VUS, RATE (0: as fast as it goes),
// SECONDS, QUESTION, and where the summary goes in OUT.
import grpc from 'k6/net/grpc';
import { Counter, Trend } from 'k6/metrics';

const client = new grpc.Client();
client.load([__ENV.PROTOS], 'xmguard/v1/guard.proto');
const failures = new Counter('failures');
const successes = new Counter('successes');
const first = new Trend('first_message', true);
const rate = Number(__ENV.RATE);
const request = {
  spans: [{ id: 's1', text: 'It rose by 25%.' }, { id: 's2', text: 'Subió un 15 %.', language: 'es' }],
  question: __ENV.QUESTION,
};

export const options = {
  summaryTrendStats: ['count', 'med', 'p(95)', 'p(99)', 'max'],
  scenarios: {
    load: rate > 0
      ? { executor: 'constant-arrival-rate', rate, timeUnit: '1s', duration: `${__ENV.SECONDS}s`,
          preAllocatedVUs: Number(__ENV.VUS), maxVUs: 4 * Number(__ENV.VUS) }
      : { executor: 'constant-vus', vus: Number(__ENV.VUS), duration: `${__ENV.SECONDS}s` },
  },
};

let connected = false;

function told(status, error) {
  failures.add(1);
  if (failures.shown === undefined) console.log(`status ${status}: ${JSON.stringify(error)}`);
  failures.shown = true;
}

function unary() {
  const response = client.invoke('xmguard.v1.GuardService/Check', { request }, { timeout: '30s' });
  if (response.status === grpc.StatusOK) successes.add(1);
  else told(response.status, response.error);
}

function stream() {
  return new Promise((resolve) => {
    const began = Date.now();
    let events = 0;
    let done = false;
    const call = new grpc.Stream(client, 'xmguard.v1.GuardService/StreamAnswer', { timeout: '30s' });
    call.on('data', (message) => {
      if (events++ === 0) first.add(Date.now() - began);
      if (message.done) done = true;
    });
    call.on('error', (error) => { told(error.code, error); resolve(); });
    call.on('end', () => {
      if (done) successes.add(1);
      else if (events > 0) told('a stream without its end', null);
      resolve();
    });
    call.write({ request });
    call.end();
  });
}

export default async function () {
  if (!connected) {
    client.connect(__ENV.ADDRESS, { plaintext: true });
    connected = true;
  }
  if (__ENV.KIND === 'unary') unary();
  else await stream();
}

export function handleSummary(data) {
  return { [__ENV.OUT]: JSON.stringify(data.metrics) };
}
