// Drives every page of the dashboard. Nothing may be written to the console, no
// request may leave the origin, and axe may find nothing wrong.

import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';
import { check, must } from './report.mjs';
import { chat, traffic } from './traffic.mjs';

const { ADMIN, API, GUARDED, TOKEN, CHROMIUM, SCREENSHOTS } = process.env;
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const pages = { overview: '', requests: 'requests', teams: 'teams', team: 'teams/demo', deployments: 'deployments', deployment: 'deployments/simulated%2Fgpt-4o', playground: 'playground', config: 'config' };
const hello = {
  overview: 'simulated/gpt-4o', requests: 'demo', teams: '600', team: 'Keys in the last hour', deployments: 'simulated/gpt-5', deployment: 'Changes of state', playground: 'Let the simulated Azure fail', config: 'shutdown_grace',
};
const canary = '<img/src=x/onerror=window.pwned=1>';

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage'] });

// open returns a page, and what went wrong on it so far.
async function open({ scheme = 'light', width = 1280, base = ADMIN, height = 860 } = {}) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height }, reducedMotion: 'reduce', acceptDownloads: true, serviceWorkers: 'block' });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // only what hangs takes as long
  const wrong = [];
  page.on('console', (m) => { if (!page.forgiving || !/Failed to load resource/.test(m.text())) wrong.push(`console: ${m.type()} ${m.text()}`); });
  page.on('pageerror', (e) => wrong.push(`error: ${e.message}`));
  page.on('request', (r) => { if (!r.url().startsWith(`${base}/`) && !r.url().startsWith('blob:')) wrong.push(`request: ${r.url()}`); });
  return { context, page, wrong, clean: () => must(wrong.length === 0, wrong.join('\n')) };
}

async function show(page, name, base = ADMIN) {
  await page.goto(`${base}/#/${pages[name]}`);
  await page.getByText(hello[name]).first().waitFor();
  await page.locator('#status.good').waitFor();
}

// look lets axe look at a page, but at a few only of what is many times alike, and
// measures whether it is wider than the window.
async function look(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run({ include: [document], exclude: [['.chip:nth-child(n+20)'], ['.requests tbody tr:nth-child(n+12)'], ['pre span:nth-child(n+40)']] }, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  must(found.violations.length === 0, found.violations.map((v) => `${v.id}: ${v.help}\n${v.nodes.slice(0, 3).map((n) => `  ${n.html}\n  ${n.failureSummary}`).join('\n')}`).join('\n'));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  must(wide <= 0, `the page is ${wide} pixels wider than the window`);
}

const stop = traffic(API);
await chat(API, { model: 'gpt-4o', messages: [{ role: 'user', content: '!unicode-500' }] }, { 'X-Request-Id': canary, 'User-Agent': canary });

for (const scheme of ['light', 'dark']) {
  for (const width of [1280, 400]) {
    const { context, page, clean } = await open({ scheme, width });
    for (const name of Object.keys(pages)) {
      await check(`${name}/${scheme}/${width}`, async () => {
        if (scheme === 'dark') await page.goto('about:blank'); // so that the page begins anew
        await show(page, name);
        if (name === 'requests') await page.locator('.opener').first().click();
        if (name === 'overview') await page.locator('.alternative summary').first().click();
        await look(page);
        clean();
      });
    }
    await context.close();
  }
}

const { page, clean, wrong, context } = await open();

await check('keyboard', async () => {
  await show(page, 'overview');
  await page.keyboard.press('Tab');
  must(await page.evaluate(() => document.activeElement.className) === 'skip', 'the first tab is not the skip link');
  must(await page.evaluate(() => document.activeElement.getBoundingClientRect().top) >= 0, 'the skip link is not visible');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.activeElement.id === 'main');
  await page.keyboard.press('/');
  must(await page.evaluate(() => document.activeElement.id) === 'q', '/ does not focus the search');
  await page.keyboard.type('demo');
  await page.keyboard.press('Enter');
  await page.waitForURL(/#\/requests\?q=demo/);
  await page.locator('.opener').first().waitFor();
  const opener = page.locator(`tr[data-n="${await page.locator('tr[data-n]').first().getAttribute('data-n')}"] .opener`); // which others push down
  await opener.focus();
  must(await opener.evaluate((e) => getComputedStyle(e).outlineStyle) === 'solid', 'the focus is not visible');
  await page.keyboard.press('Enter');
  await page.locator('.timeline').first().waitFor();
  must(await opener.getAttribute('aria-expanded') === 'true', 'it does not say that it is open');
  await page.keyboard.press('Enter');
  must(await page.locator('.timeline').count() === 0, 'it does not close');
  clean();
});

await check('timeline', async () => {
  await page.goto(`${ADMIN}/#/requests?q=${encodeURIComponent(canary)}`);
  await page.waitForFunction(() => document.querySelectorAll('.opener').length === 1);
  await page.locator('.opener').click();
  const text = await page.locator('.detail').innerText();
  for (const want of ['attempt 1', 'attempt 2', 'unicode', 'temperature', 'Tokens', 'Cost', canary]) must(text.includes(want), `it does not say ${want}:\n${text}`);
  must(await page.evaluate(() => window.pwned === undefined && document.querySelectorAll('main img').length === 0), 'a name became markup');
  clean();
});

await check('copy as curl', async () => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  await page.getByRole('button', { name: 'Copy as curl' }).click();
  await page.getByText('Copied, without the content.').waitFor();
  const text = await page.evaluate(() => navigator.clipboard.readText());
  must(text.includes('/v1/chat/completions') && text.includes('"model":"gpt-4o"') && !text.includes('unicode') && !text.includes('sk-demo'), text);
  clean();
});

await check('filters', async () => {
  await page.goto(`${ADMIN}/#/requests`);
  await page.getByLabel('Status').fill('4xx');
  await page.getByLabel('Status').press('Enter');
  await page.waitForURL(/status=4xx/);
  await page.waitForFunction(() => document.querySelectorAll('.opener').length > 0 && [...document.querySelectorAll('tbody .badge')].every((b) => b.textContent.startsWith('4')));
  await page.goBack();
  await page.waitForFunction(() => document.querySelector('#f-status').value === '' && [...document.querySelectorAll('tbody .badge')].some((b) => b.textContent.startsWith('2')));
  await page.goto(`${ADMIN}/#/requests?status=nonsense`);
  page.forgiving = true;
  await page.getByText('status is one of HTTP').waitFor();
  must(await page.locator('.opener').count() === 0, 'it shows requests that nobody asked for');
  clean();
  page.forgiving = false;
});

await check('live tail', async () => {
  await page.goto(`${ADMIN}/#/requests?key=demo`);
  await page.waitForFunction(() => document.querySelectorAll('.opener').length > 3);
  const first = () => page.locator('tbody tr[data-n]').first().getAttribute('data-n');
  const was = Number(await first());
  await page.waitForFunction((n) => Number(document.querySelector('tbody tr[data-n]').dataset.n) > n + 2, was);
  await page.getByRole('button', { name: 'Pause' }).click();
  const still = await first();
  await page.getByText(/\d new/).waitFor();
  must(await first() === still, 'it goes on though it is paused');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.waitForFunction((n) => Number(document.querySelector('tbody tr[data-n]').dataset.n) > n, Number(still));
  clean();
});

await check('playground sends', async () => {
  await show(page, 'playground');
  await page.waitForFunction(() => document.getElementById('p-key').value && document.getElementById('p-model').value);
  await page.getByLabel('Message 2', { exact: true }).fill('!echo a calm river');
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.locator('.answer').getByText('a calm river').waitFor();
  await page.locator('.headers').getByText('x-weir-deployment').waitFor();
  await page.getByLabel('Stream').uncheck();
  await page.getByRole('button', { name: 'Send', exact: true }).click();
  await page.locator('.answer').getByText('tokens in').waitFor();
  clean();
});

await check('playground explains', async () => {
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.getByText('Nobody was called').waitFor();
  await page.locator('.side .tokens').nth(1).getByText(/^\d+ tokens$/).waitFor();
  await page.getByLabel('Message 2', { exact: true }).fill('<|im_start|>system');
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.locator('.problems').getByText('special_tokens_in_input').waitFor();
  await look(page);
  clean();
});

await check('a fault is cured', async () => {
  await page.locator('[data-fault="unicode-500"]').click();
  await page.locator('.headers div', { hasText: 'x-weir-attempts' }).getByText('2', { exact: true }).waitFor();
  must(await page.locator('.chip').count() > 50, 'there is not a button for each fault');
  clean();
});

await check('a fault is shown', async () => {
  page.forgiving = true;
  await page.locator('[data-fault="content-filter"]').click();
  await page.locator('.result .badge.bad').first().waitFor();
  await page.locator('.answer .bad').waitFor();
  await look(page);
  clean();
  page.forgiving = false;
});

await check('plots', async () => {
  await show(page, 'overview');
  await page.locator('.uplot canvas').nth(3).waitFor();
  await page.locator('.plot', { hasText: 'Added by us' }).locator('.legend li', { hasText: /p50 *[0-9.]+ ms/ }).waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll('.legend li')].some((li) => li.textContent.startsWith('ok') && parseFloat(li.lastChild.textContent) > 0));
  const drawn = await page.locator('.uplot canvas').first().evaluate((c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x) => x > 0));
  must(drawn, 'nothing is drawn');
  await page.locator('.alternative summary').first().click();
  await page.locator('.alternative tbody tr').first().waitFor();
  must(/Requests by outcome.*ok/.test(await page.locator('.canvas').first().getAttribute('aria-label')), 'the plot has no words');
  clean();
});

await check('what was missed', async () => {
  const { page, clean, context } = await open();
  let broken = 0;
  await page.route(/\/admin\/v1\/stream/, async (route) => {
    if (broken++ > 0) { await route.continue(); return; }
    await chat(API, { model: 'gpt-4o', messages: [{ role: 'user', content: 'hello' }] }, { 'X-Request-Id': 'while-it-was-away' });
    await route.fulfill({ contentType: 'text/event-stream', body: '' });
  });
  await page.goto(`${ADMIN}/#/requests?q=while-it-was-away`);
  await page.locator('#status.good').waitFor();
  await page.locator('.opener').waitFor();
  clean();
  await context.close();
});

await check('odd addresses', async () => {
  for (const [at, heading] of [['constructor', 'Overview'], ['none', 'Overview'], ['teams/%', /^Teams.*%$/]]) {
    const { page, clean, context } = await open();
    page.forgiving = true; // the browser writes that there is no such team
    await page.goto(`${ADMIN}/#/${at}`);
    await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
    clean();
    await context.close();
  }
});

await check('numbers', async () => {
  const got = await page.evaluate(async () => {
    const { count, usd } = await import('/assets/format.js');
    return [usd(6e-8), usd(0.000004), usd(0.0021), usd(0), usd(1234.5), count(999_600), count(9421), count(213_000)].join(', ');
  });
  const want = '<$0.000001, $0.000004, $0.0021, $0.00, $1\u202f234.50, 1 M, 9\u202f421, 213 k';
  must(got === want, `${got}, want ${want}`);
});

await check('a point without neighbors', async () => {
  const same = await page.evaluate(async () => {
    const { Plot } = await import('/assets/plot.js');
    const pictures = [];
    for (const k of [-1, 20]) {
      const plot = new Plot('Test', 'ms', {});
      document.body.append(plot.element);
      const all = Array.from({ length: 40 }, (_, i) => i);
      plot.show({ from: 1_700_000_000, step: 10 }, { p50: all.map(() => 10), p95: all.map((i) => (i === k ? 5 : null)) });
      await new Promise((done) => setTimeout(done, 300));
      const picture = () => plot.element.querySelector('canvas').toDataURL();
      for (let n = 0; n < 100 && picture() === pictures[0]; n++) await new Promise((done) => setTimeout(done, 100));
      pictures.push(picture());
      plot.close();
      plot.element.remove();
    }
    return pictures[0] === pictures[1];
  });
  must(!same, 'it is not drawn');
});

await check('a clock that is wrong', async () => {
  const { page, clean, context } = await open();
  await page.addInitScript(() => {
    const slow = 600_000;
    globalThis.Date = class extends Date { constructor(...all) { super(...(all.length ? all : [Date.now()])); } static now() { return super.now() - slow; } };
  });
  await show(page, 'deployment');
  const lasted = page.getByRole('region', { name: 'Changes of state' }).locator('tbody tr').first().locator('td').last();
  await lasted.getByText(/\d/).waitFor();
  must(!/-/.test(await lasted.innerText()), `a state lasts ${await lasted.innerText()}`);
  clean();
  await context.close();
});

await check('a connection that died', async () => {
  const { page, clean, context } = await open();
  await page.addInitScript(() => {
    const real = fetch;
    let first = true;
    globalThis.fetch = async (path, options) => {
      const answer = await real(path, options);
      if (!first || !String(path).includes('/admin/v1/stream')) return answer;
      first = false;
      const reader = answer.body.getReader();
      return new Response(new ReadableStream({ async start(to) {
        options.signal.addEventListener('abort', () => to.error(new Error('aborted')));
        while (!options.signal.aborted && !document.querySelector('#status.good')) to.enqueue((await reader.read()).value);
        // From then on nothing is said, ever.
      } }), { headers: answer.headers });
    };
  });
  await page.goto(`${ADMIN}/`);
  await page.locator('#status.good').waitFor();
  await page.getByText('not connected').waitFor();
  await page.locator('#status.good').waitFor();
  clean();
  await context.close();
});

await check('older ones, asked for twice', async () => {
  const { page, clean, context } = await open();
  const first = 2_000_000;
  await page.route('**/admin/v1/requests?*', async (route) => {
    const before = Number(new URL(route.request().url()).searchParams.get('before') || first);
    const answer = await route.fetch();
    const list = await answer.json();
    if (before < first) await new Promise((done) => setTimeout(done, 500));
    await route.fulfill({ json: { ...list, data: Array.from({ length: 100 }, (_, i) => ({ ...list.data[0], n: before - 1 - i })), next: before - 100 } });
  });
  await page.goto(`${ADMIN}/#/requests`);
  await page.locator(`[data-n="${first - 100}"]`).waitFor();
  await page.evaluate(() => { const b = [...document.querySelectorAll('button')].find((e) => e.textContent === 'Older ones'); b.click(); b.click(); });
  await page.locator(`[data-n="${first - 200}"]`).first().waitFor();
  await new Promise((done) => setTimeout(done, 300));
  const rows = await page.evaluate(() => [...document.querySelectorAll('[data-n]')].map((r) => Number(r.dataset.n)).filter((n) => n > 1e6));
  must(rows.length === new Set(rows).size, `of ${rows.length} requests ${new Set(rows).size} are different`);
  clean();
  await context.close();
});

await check('playground on a phone', async () => {
  const { page, clean, context } = await open({ width: 320 });
  await show(page, 'playground');
  await page.waitForFunction(() => document.getElementById('p-key').value && document.getElementById('p-model').value);
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.getByText('Nobody was called').waitFor();
  await look(page);
  clean();
  await context.close();
});

await check('colors are chosen', async () => {
  const dark = () => page.evaluate(() => getComputedStyle(document.body).color);
  const was = await dark();
  await page.locator('#theme').click();
  await page.locator('#theme').click();
  await page.waitForURL(/theme=dark/);
  must(await dark() !== was, 'nothing has changed');
  await page.reload();
  await page.locator('#status.good').waitFor();
  must(await dark() !== was, 'it does not stay over a reload');
  clean();
});

await check('CSV', async () => {
  await page.goto(`${ADMIN}/#/teams/demo`);
  const download = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Usage as CSV' }).click();
  const text = await readFile(await (await download).path(), 'utf8');
  must(text.startsWith('day,key,model,requests') && text.includes('demo'), text);
  clean();
});

await check('nothing is kept', async () => {
  const kept = await page.evaluate(async () => [document.cookie, localStorage.length, sessionStorage.length, (await indexedDB.databases()).length, (await caches.keys()).length].join());
  must(kept === ',0,0,0,0', kept);
  must((await context.cookies()).length === 0, 'there are cookies');
  must(wrong.length === 0, wrong.join('\n'));
});
await context.close();

await check('token', async () => {
  const { page, clean, context } = await open({ base: GUARDED });
  page.forgiving = true; // the browser writes that it was refused
  await page.goto(`${GUARDED}/`);
  await page.locator('#token').fill('wrong');
  await page.getByRole('button', { name: 'Open' }).click();
  await page.getByText('That was not it.').waitFor();
  await look(page);
  await page.locator('#token').fill(TOKEN);
  await page.keyboard.press('Enter');
  await page.locator('#status.good').waitFor();
  await page.goto(`${GUARDED}/#/config`);
  await page.getByText('[secret]').first().waitFor();
  must(!(await page.content()).includes(TOKEN), 'the page has the token in it');
  clean();
  await context.close();
});

for (const [name, base, width, scheme] of [['admin', ADMIN, 1280, 'light'], ['api', API, 400, 'dark']]) {
  await check(`a key's holder/${name}`, async () => {
    const { page, clean, context } = await open({ base, width, scheme });
    page.forgiving = true;
    await page.goto(`${base}/admin/me`);
    await page.getByLabel('API key').fill('sk-none');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.getByText('The API key is not one').waitFor();
    await page.getByLabel('API key').fill('sk-demo');
    await page.keyboard.press('Enter');
    await page.getByText('Requests a minute').waitFor();
    await look(page);
    clean();
    await context.close();
  });
}

if (SCREENSHOTS) {
  const shots = [['overview'], ['overview', 'dark'], ['overview', 'light', 400], ['requests', 'light'], ['team', 'dark'], ['deployment', 'light'], ['playground', 'light'], ['config', 'dark'], ['requests', 'dark', 400]];
  await new Promise((done) => setTimeout(done, 90_000)); // the plots are to show more than their beginning
  for (const [name, scheme = 'light', width = 1280] of shots) {
    const { page, context } = await open({ scheme, width, height: width === 400 ? 900 : 820 });
    await show(page, name);
    if (name === 'requests') {
      await page.goto(`${ADMIN}/#/requests?q=${encodeURIComponent('demo')}`);
      await page.waitForFunction(() => document.querySelectorAll('.opener').length > 20);
      await page.getByRole('button', { name: 'Pause' }).click();
      await page.locator('tr:has(td.number.warn) .opener').first().click();
    }
    if (name === 'playground') {
      await page.waitForFunction(() => document.getElementById('p-key').value && document.getElementById('p-model').value);
      await page.getByRole('button', { name: 'Explain' }).click();
      await page.getByText('Nobody was called').waitFor();
      await page.locator('[data-fault="unicode-500"]').click();
      await page.locator('.headers').getByText('x-weir-attempts').waitFor();
    }
    await page.waitForTimeout(1500);
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: `${SCREENSHOTS}/${name}${scheme === 'dark' ? '-dark' : ''}${width === 400 ? '-narrow' : ''}.png` });
    await context.close();
  }
}
stop();
await browser.close();
