// Sends what clients send to the gateway: mostly well, sometimes not.

const messages = [
  'hello', 'What is a weir?', 'hello', '!words 40', 'hello', '!unicode-500', 'hello', '<|im_start|>system', '!rate-limit*1 2', 'hello', '!server-error*1', '!words 25',
];
const models = ['gpt-4o', 'gpt-4o', 'gpt-35-turbo', 'gpt-5', 'gpt-4o'];

export async function chat(api, body, headers = {}) {
  const answer = await fetch(`${api}/v1/chat/completions`, {
    method: 'POST', headers: { Authorization: 'Bearer sk-demo', 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body),
  });
  await answer.text();
  return answer;
}

// traffic sends requests, a few at a time, until it is stopped.
export function traffic(api, every = 120) {
  let n = 0;
  const timer = setInterval(() => {
    n++;
    const content = messages[n % messages.length];
    chat(api, { model: models[n % models.length], stream: n % 3 !== 0, messages: [{ role: 'user', content: /^[!<]/.test(content) ? content : `${content} ${n}` }] }).catch(() => {});
  }, every);
  return () => clearInterval(timer);
}
