'use strict';

/** The text without card numbers, and how many there were. */
exports.hide = (text) => {
  let hidden = 0;
  const shown = text.replace(/\d+/g, (run) => {
    if (run.length < 13 || run.length > 19) return run;
    hidden += 1;
    return '#'.repeat(run.length);
  });
  return [shown, hidden];
};
