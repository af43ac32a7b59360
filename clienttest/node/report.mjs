// Runs cases and prints what became of each, one JSON line a case.
//
// A case is an async function of one argument, the client under test. It passes by returning.

import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

/** Fails when a case should have ended, and keeps no program alive. */
async function late() {
  await pause(60_000, undefined, { ref: false });
  throw new Error("the case did not end");
}

/** Runs every case with the client, in order. */
export async function run(client, cases) {
  for (const [name, test] of Object.entries(cases)) {
    const line = { case: `${client.name}/${name}`, ok: true };
    try {
      await Promise.race([test(client), late()]);
    } catch (error) {
      line.ok = false;
      line.detail = error?.stack ?? String(error);
    }
    console.log(JSON.stringify(line));
  }
}

/** Demands that the promise is rejected, and that the error's fields are those wanted. */
export async function rejects(promise, want) {
  const error = await promise.then(
    () => assert.fail("nothing was thrown"),
    (reason) => reason,
  );
  for (const [name, value] of Object.entries(want)) {
    assert.deepEqual(error[name], value, `${error.name}.${name} of: ${error.message}`);
  }
  return error;
}

/** Returns all that an iterable yields. */
export async function gather(iterable) {
  const all = [];
  for await (const one of iterable) all.push(one);
  return all;
}

/** Returns a fetch that notes the status of each answer in statuses. */
export function noting(statuses) {
  return async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  };
}

/**
 * Asks until a request was refused for the team's rate, and demands that the client waited as
 * it was told: one refusal, then an answer.
 */
export async function waitsOnce(statuses, ask) {
  for (let i = 0; i < 3 && !statuses.includes(429); i++) {
    assert.ok(await ask());
  }
  assert.deepEqual(statuses.slice(statuses.indexOf(429)), [429, 200], `${statuses}`);
}
