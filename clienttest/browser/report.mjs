// Prints a line of JSON for each case, as the programs of the other clients do.

export async function check(name, body) {
  const began = performance.now();
  try {
    await body();
    console.log(JSON.stringify({ case: name, ok: true, detail: `${Math.round(performance.now() - began)} ms` }));
  } catch (e) {
    console.log(JSON.stringify({ case: name, ok: false, detail: String(e.stack || e).slice(0, 3000) }));
  }
}

export function must(holds, what) {
  if (!holds) throw new Error(what);
}
