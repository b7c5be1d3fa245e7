'use strict';

// Hides card numbers: an ordinary Node.js handler, made a component by `stint deploy --wasm`.
const { hide } = require('./hide');

exports.handler = (event, context, callback) => {
  const [text, hidden] = hide(event.toString());
  console.log(`${context.requestId}: ${hidden} hidden`);
  callback(null, text);
};
