// The same call from another language: node grpc_js.js ADDRESS PROTOS. Prints the answer as JSON.
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, protos] = process.argv.slice(2);
const definition = loader.loadSync('xmguard/v1/guard.proto', { includeDirs: [protos], keepCase: true });
const { xmguard } = grpc.loadPackageDefinition(definition);
const client = new xmguard.v1.GuardService(address, grpc.credentials.createInsecure());
const request = {
  spans: [{ id: 's1', text: 'It rose by 25%.' }, { id: 's2', text: 'Subió un 15 %.', language: 'es' }],
  question: 'By how much?',
};
let streamed = '';
const stream = client.StreamAnswer({ request });
stream.on('data', (event) => { if (event.delta) streamed += event.delta.text; });
stream.on('error', (error) => { console.error(error); process.exit(1); });
stream.on('end', () => client.Answer(request, (error, answer) => {
  if (error) { console.error(error); process.exit(1); }
  client.Answer({ question: 'x' }, (refused) => {
    const details = refused && refused.metadata.get('grpc-status-details-bin').length;
    console.log(JSON.stringify({ answer: answer.answer, streamed, code: refused && refused.code, details }));
    client.close();
  });
}));
