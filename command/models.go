package command

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync"

	"weir/config"
	"weir/openai"
	"weir/policy"
	"weir/proxy"
	"weir/tokens"
	"weir/usage"
)

// facts returns what is known of a model, as the configuration corrects it.
func (b *builder) facts(name string, m config.Model) tokens.Model {
	t := tokens.Lookup(cmp.Or(m.BaseModel, name))
	t.Encoding = cmp.Or(m.Tokenizer, t.Encoding)
	t.ContextWindow = cmp.Or(m.ContextWindow, t.ContextWindow)
	t.MaxInput = cmp.Or(m.MaxInputTokens, t.MaxInput)
	t.MaxOutput = cmp.Or(m.MaxOutputTokens, t.MaxOutput)
	if m.ContextWindow > 0 && m.MaxInputTokens == 0 {
		t.MaxInput = 0
	}
	return t
}

// model returns what the gateway must know of a model. Its window is the widest
// of its deployments'; the pool knows which of them a request fits.
func (b *builder) model(name string, m config.Model) proxy.Model {
	t := b.facts(name, m)
	w := policy.Window{
		Context: int64(t.ContextWindow), MaxInput: int64(t.MaxInput), MaxOutput: int64(t.MaxOutput),
		OutputField: t.MaxCompletionField(),
	}
	var narrowest int64
	for i, d := range m.Deployments {
		context, output := cmp.Or(d.ContextWindow, t.ContextWindow), cmp.Or(d.MaxOutputTokens, t.MaxOutput)
		if i == 0 {
			w.Context, w.MaxOutput = 0, 0
		}
		w.Context, w.MaxOutput = max(w.Context, int64(context)), max(w.MaxOutput, int64(output))
		if context > 0 && (narrowest == 0 || int64(context) < narrowest) {
			narrowest = int64(context)
		}
	}
	base := cmp.Or(m.BaseModel, name)
	each, dearest := prices(base, m)
	return proxy.Model{
		Name: name, Base: base, Created: b.before.created, Owner: b.owner(m), Does: does(base, t), Regions: b.regions(m), Window: w, Narrowest: narrowest,
		Counter: counter{b.parts.Encodings.Counter(t)}, Asked: weighted(m), Prices: each, Dearest: dearest, Places: b.places(m),
	}
}

// owner returns whose a model is in listings: Azure's, where it has any of it.
func (b *builder) owner(m config.Model) string {
	azure := func(d config.Deployment) bool { return b.file.Backends[d.Backend].Kind != "openai" }
	if len(m.Deployments) == 0 || slices.ContainsFunc(m.Deployments, azure) {
		return "azure"
	}
	return "openai"
}

// regions returns where a model has deployments that are asked.
func (b *builder) regions(m config.Model) []string {
	var all []string
	for _, d := range m.Deployments {
		if region := b.file.Backends[d.Backend].Region; d.Weight > 0 && !slices.Contains(all, region) {
			all = append(all, region)
		}
	}
	return all
}

// weighted returns the deployments of a model that are asked, sorted.
func weighted(m config.Model) []string {
	var all []string
	for _, d := range m.Deployments {
		if d.Weight > 0 {
			all = append(all, d.Backend+"/"+d.Deployment)
		}
	}
	slices.Sort(all)
	return all
}

// places returns where the deployments of a model are.
func (b *builder) places(m config.Model) map[string]string {
	all := make(map[string]string, len(m.Deployments))
	for _, d := range m.Deployments {
		all[d.Backend+"/"+d.Deployment] = b.file.Backends[d.Backend].Region
	}
	return all
}

// does returns which of the oldest endpoints a model answers, by what is known of
// it and else by its name. One of which nothing is known is taken to chat.
func does(base string, t tokens.Model) proxy.Does {
	name := strings.ToLower(base)
	is := func(part string) bool { return strings.Contains(name, part) }
	switch {
	case t.Embedding, is("embedding"):
		return proxy.Does{Embeddings: true}
	case is("-instruct") && is("gpt-3"), is("davinci"), is("babbage"):
		return proxy.Does{Completion: true}
	case t.ResponsesOnly, slices.ContainsFunc([]string{"transcribe", "whisper", "tts", "realtime", "image", "dall-e", "moderation", "sora"}, is):
		return proxy.Does{}
	default:
		return proxy.Does{Chat: true}
	}
}

// prices returns what the tokens of a model cost at each of its deployments, and
// what they cost at most.
func prices(base string, m config.Model) (each map[string]usage.Price, dearest usage.Price) {
	usual, _ := usage.PriceOf(base) // a model that nobody knows costs nothing, of which config warns
	if m.Price != nil {
		usual = price(*m.Price)
	}
	each = map[string]usage.Price{}
	for i, d := range m.Deployments {
		p := usual
		if d.Price != nil {
			p = price(*d.Price)
		}
		each[d.Backend+"/"+d.Deployment] = p
		if i == 0 {
			dearest = p
		}
		dearest = dearest.Max(p)
	}
	if len(m.Deployments) == 0 {
		dearest = usual
	}
	return each, dearest
}

// price returns prices that are configured for a million tokens. A part that costs
// nothing does so because that is written: config has filled in the others.
func price(p config.Price) usage.Price {
	const nothing = usage.USD(-1)
	part := func(dollars float64) usage.USD { return cmp.Or(perToken(dollars), nothing) }
	return usage.Price{
		Input: perToken(p.Input), Cached: part(p.CachedInput), Output: perToken(p.Output), Reasoning: part(p.ReasoningOutput),
		Audio:  usage.Rates{Input: part(p.AudioInput), Cached: part(p.AudioCached), Output: part(p.AudioOutput)},
		Image:  usage.Rates{Input: part(p.ImageInput), Cached: part(p.ImageCached), Output: part(p.ImageOutput)},
		Second: usage.USD(math.Round(p.Minute * float64(usage.Dollar) / 60)),
	}
}

func perToken(dollars float64) usage.USD {
	return usage.USD(math.Round(dollars * float64(usage.Dollar) / 1e6))
}

// passed keeps the models that are served under their own names. The names are
// the clients' own, so there is a bound.
type passed struct {
	build  func(name string) proxy.Model
	mu     sync.Mutex
	models map[string]proxy.Model
}

// maxPassed is how many models are kept.
const maxPassed = 256

func (p *passed) model(name string) proxy.Model {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.models[name]
	if !ok {
		if m = p.build(name); p.models == nil || len(p.models) >= maxPassed {
			p.models = map[string]proxy.Model{}
		}
		p.models[name] = m
	}
	return m
}

// counter is a tokens.Counter as the proxy wants one.
type counter struct{ *tokens.Counter }

// Prompt returns what a request's prompt comes to.
func (c counter) Prompt(r *openai.Request) policy.Prompt {
	switch r.Operation {
	case openai.Chat:
	case openai.Responses, openai.Compact:
		chat, err := r.Conversation()
		if err != nil { // there is nothing to read
			return policy.Prompt{}
		}
		r = chat
	default:
		var p policy.Prompt
		r.Inputs(func(text openai.Value, tokens int64) { p.Total += tokens + c.Text(text.Bytes()) })
		return p
	}
	n := c.Request(r)
	p := policy.Prompt{
		Total: int64(n.Total), Messages: make([]int64, len(n.Messages)),
		Tools: int64(n.Tools), ResponseFormat: int64(n.ResponseFormat), Prediction: int64(n.Prediction),
		Overhead: int64(n.Overhead), Images: int64(n.Images), Estimated: n.Estimated,
	}
	for i, m := range n.Messages {
		p.Messages[i] = int64(m)
	}
	return p
}

// Bound returns what a request's prompt is never above.
func (c counter) Bound(r *openai.Request) int64 {
	if r.Operation != openai.Chat {
		return math.MaxInt64 // it is to be counted
	}
	return int64(c.Counter.Bound(r))
}

// Text returns what a text comes to.
func (c counter) Text(b []byte) int64 { return int64(c.Counter.Text(b)) }
