// driver ADDRESS PROTO [CA [CERT KEY]] - a gRPC client under remote control: reads one JSON command a line from stdin,
// {"id": 1, "do": "invoke", ...}, and writes {"id": 1, ...} for each as soon as it is done, in any order.
'use strict';
const fs = require('fs');
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const health = require('grpc-health-check');

const [address, proto, ca, cert, key] = process.argv.slice(2);
const pem = (file) => (file ? fs.readFileSync(file) : null);
const credentials = ca ? grpc.credentials.createSsl(pem(ca), pem(key), pem(cert)) : grpc.credentials.createInsecure();
const shape = { keepCase: true, longs: Number, enums: String, defaults: true };
const { poolgate } = grpc.loadPackageDefinition(loader.loadSync(proto, shape));
const Health = grpc.makeClientConstructor(health.service, 'grpc.health.v1.Health');

const clients = new Map();
const underway = new Map();
let channels = 0;

// One connection per name; every name has its own, also to the same address.
function client(Kind, name = '', compression = 0) {
  const key = `${Kind.serviceName} ${name}`;
  if (!clients.has(key)) {
    clients.set(key, new Kind(address, credentials, {
      'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1,
      'grpc.default_compression_algorithm': compression, 'grpc.enable_retries': 0,
      'grpc.use_local_subchannel_pool': 1, 'poolgate.channel': ++channels,
    }));
  }
  return clients.get(key);
}

function outcome(error, began) {
  const trailers = {};
  if (error && error.metadata) {
    for (const [name, value] of Object.entries(error.metadata.getMap())) trailers[name] = String(value);
  }
  return { status: error ? error.code : 0, detail: error ? error.details : '', trailers,
           seconds: (performance.now() - began) / 1000 };
}

function headers(command) {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(command.headers || {})) metadata.set(name, value);
  return metadata;
}

function options(command) {
  return command.deadline_ms === undefined ? {} : { deadline: Date.now() + command.deadline_ms };
}

// A unary call of any name with bytes as they are.
function raw(command, finish) {
  const began = performance.now();
  const bytes = Buffer.from(command.message || '', 'base64');
  client(poolgate.v1.Gateway, command.connection).makeUnaryRequest(
    command.path, (value) => value, (value) => value, bytes, options(command),
    (error, reply) => finish({ ...outcome(error, began), reply: reply ? reply.toString('base64') : null }));
}

function invoke(command, finish) {
  const began = performance.now();
  const request = { ...command.request };
  if (command.payload_file) request.payload = fs.readFileSync(command.payload_file);
  const gateway = client(poolgate.v1.Gateway, command.connection, command.compression);
  underway.set(command.id, gateway.Invoke(request, headers(command), options(command), (error, reply) => {
    underway.delete(command.id);
    const result = outcome(error, began);
    if (reply) {
      if (command.reply_file) fs.writeFileSync(command.reply_file, reply.payload);
      result.reply = { ...reply, payload: undefined, payload_bytes: reply.payload.length };
    }
    finish(result);
  }));
}

// Calls that are cancelled after a random time; `width` of them at once.
async function storm(command, finish) {
  const gateway = client(poolgate.v1.Gateway, command.connection);
  const statuses = {};
  let left = command.count;
  const one = () => new Promise((resolve) => {
    let timer;
    const call = gateway.Invoke(command.request, (error) => {
      clearTimeout(timer);
      const status = error ? error.code : 0;
      statuses[status] = (statuses[status] || 0) + 1;
      resolve();
    });
    const wait_ms = Math.random() * command.within_ms;
    if (wait_ms < 1) call.cancel();
    else timer = setTimeout(() => call.cancel(), wait_ms);
  });
  const worker = async () => { while (left-- > 0) await one(); };
  await Promise.all(Array.from({ length: command.width }, worker));
  finish({ statuses });
}

const commands = {
  invoke, raw, storm,
  cancel(command, finish) {
    underway.get(command.of).cancel();
    finish({});
  },
  state(command, finish) {
    const began = performance.now();
    client(poolgate.v1.Gateway)[command.method](command.request || {}, options(command),
      (error, reply) => finish({ ...outcome(error, began), reply }));
  },
  health(command, finish) {
    const began = performance.now();
    client(Health, command.connection).Check({ service: command.service }, { deadline: Date.now() + 5000 },
      (error, reply) => finish({ ...outcome(error, began), reply: reply && reply.status }));
  },
  // Until the connection is there, so that its making is in nobody's time.
  connect(command, finish) {
    client(poolgate.v1.Gateway, command.connection).waitForReady(Date.now() + 5000,
      (error) => finish({ error: error ? String(error) : null }));
  },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  const finish = (result) => process.stdout.write(JSON.stringify({ id: command.id, ...result }) + '\n');
  commands[command.do](command, finish);
}).on('close', () => process.exit(0));
