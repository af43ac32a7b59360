// Prints the models that gpt-tokenizer knows, as JSON, for compare_models.go.
const [models, mapping] = await Promise.all([import('gpt-tokenizer/models'), import('gpt-tokenizer/mapping')])
const encodings = mapping.modelToEncodingMap ?? {}
const list = {}
for (const [name, m] of Object.entries(models)) {
  if (typeof m !== 'object' || m === null) continue
  list[name] = {
    context_window: m.context_window ?? 0,
    max_output_tokens: m.max_output_tokens ?? 0,
    reasoning_tokens: m.reasoning_tokens === true,
    supported_endpoints: m.supported_endpoints ?? [],
    encoding: encodings[name] ?? '',
  }
}
console.log(JSON.stringify(list))
