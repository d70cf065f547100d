// Reads a list of manifests as JSON on stdin and writes for each what the schemas of Kubernetes say against it,
// as a list of texts. The schemas let unknown members pass; but a member that they know is looked at while they
// validate, so each that nobody has looked at is named too.
'use strict';

function watched(value, path, unseen) {
  if (value === null || typeof value !== 'object') return value;
  const copy = Array.isArray(value) ? [] : {};
  for (const [name, member] of Object.entries(value)) {
    copy[name] = watched(member, `${path}.${name}`, unseen);
    if (!Array.isArray(value)) unseen.add(`${path}.${name}`);
  }
  return new Proxy(copy, {
    get(target, name) {
      if (typeof name === 'string') unseen.delete(`${path}.${name}`);
      return target[name];
    },
  });
}

// Validated as they are; the class of a model would copy them.
function validatorOf(manifest) {
  const model = require(`kubernetes-models/${manifest.apiVersion}`)[manifest.kind];
  if (model === undefined) throw new Error(`there is no ${manifest.kind} in ${manifest.apiVersion}`);
  const object = Object.create(model.prototype);
  return (data) => {
    for (const name of Object.keys(data)) object[name] = data[name];
    object.validate();
  };
}

function judge(manifest) {
  const unseen = new Set();
  try {
    const validate = validatorOf(manifest);
    validate(watched(manifest, manifest.kind, unseen));
  } catch (error) {
    return [String(error.message)];
  }
  return [...unseen].map((path) => `${path} is not known`);
}

let text = '';
process.stdin.on('data', (piece) => (text += piece));
process.stdin.on('end', () => process.stdout.write(JSON.stringify(JSON.parse(text).map(judge))));
