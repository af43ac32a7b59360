package proxy

import (
	"slices"

	"weir/openai"
	"weir/usage"
)

// params returns what a request asks of the model, for its spans. Words that are not
// the API's own are not told: they are the client's text.
func params(r *openai.Request) *usage.Params {
	number := func(name string) usage.Number {
		n, ok := r.Root.Get(name).Float()
		return usage.Number{Value: n, Set: ok}
	}
	p := &usage.Params{
		Temperature: number("temperature"), TopP: number("top_p"),
		FrequencyPenalty: number("frequency_penalty"), PresencePenalty: number("presence_penalty"),
		MaxTokens: r.MaxTokens, Choices: r.Choices,
		Output:      output(r),
		Reasoning:   reasoning(r.Root),
		ServiceTier: among(r.Root.Get("service_tier"), "auto", "default", "flex", "priority", "scale", "standard"),
	}
	p.Seed, p.HasSeed = r.Root.Get("seed").Int()
	switch stop := r.Root.Get("stop"); stop.Kind() {
	case openai.String:
		p.Stops = 1
	case openai.Array:
		p.Stops = stop.Len()
	default:
	}
	return p
}

// reasoning returns how much reasoning a request asks for.
func reasoning(root openai.Value) string {
	effort := root.Get("reasoning_effort")
	if effort.Kind() == openai.Missing {
		effort = root.Get("reasoning").Get("effort")
	}
	return among(effort, "none", "minimal", "low", "medium", "high", "xhigh")
}

// output returns the kind of what a request asks for.
func output(r *openai.Request) string {
	switch r.Operation {
	case openai.Images, openai.ImageEdits:
		return "image"
	case openai.Speech:
		return "speech"
	default:
	}
	format := r.Root.Get("response_format").Get("type")
	if format.Kind() == openai.Missing {
		format = r.Root.Get("text").Get("format").Get("type")
	}
	switch {
	case format.Is("json_object"), format.Is("json_schema"):
		return "json"
	case format.Is("text"):
		return "text"
	default:
		return ""
	}
}

// among returns a word that is among those that are known, "" where there is none,
// and else other.
func among(v openai.Value, known ...string) string {
	if v.Kind() != openai.String {
		return ""
	}
	if i := slices.IndexFunc(known, v.Is); i >= 0 {
		return known[i]
	}
	return "other"
}
