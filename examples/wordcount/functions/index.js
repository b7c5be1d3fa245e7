// Word count: `map` counts the words of one shard, `reduce` adds such counts up.
'use strict';

const count = (text) => {
  const counts = Object.create(null);
  for (const word of text.toLowerCase().match(/\p{L}+(?:['’]\p{L}+)*/gu) ?? []) {
    counts[word] = (counts[word] ?? 0) + 1;
  }
  return counts;
};

exports.map = async (event) => {
  const { shard, text } = JSON.parse(event.toString());
  const counts = count(text);
  console.log(`shard ${shard}: ${Object.keys(counts).length} different words`);
  return counts;
};

exports.reduce = async (event) => {
  const { parts, top } = JSON.parse(event.toString());
  const sums = new Map();
  for (const part of parts) {
    for (const [word, n] of Object.entries(part)) sums.set(word, (sums.get(word) ?? 0) + n);
  }
  const order = ([a, n], [b, m]) => m - n || (a < b ? -1 : 1);
  const words = [...sums].sort(order);
  const total = words.reduce((sum, [, n]) => sum + n, 0);
  return { total, different: words.length, top: words.slice(0, top) };
};
