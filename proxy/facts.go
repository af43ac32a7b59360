package proxy

import (
	"weir/openai"
	"weir/quota"
	"weir/usage"
)

// underway notes that a request is under way until what it returns is called.
func (g *Gateway) underway(rec *usage.Record) func() {
	if g.cfg.Live == nil {
		return func() {}
	}
	return g.cfg.Live.Enter(rec.Model, rec.Stream)
}

// named returns an operation as records have it, "" for what is handed on as it is.
func named(op openai.Operation) usage.Operation {
	names := [...]usage.Operation{
		openai.Chat: usage.Chat, openai.Responses: usage.Responses, openai.Compact: usage.Compaction, openai.Completions: usage.TextCompletion,
		openai.Embeddings: usage.Embeddings, openai.Moderations: usage.Moderation, openai.Images: usage.ImageGeneration, openai.Speech: usage.Speech,
		openai.ImageEdits: usage.ImageEdit, openai.Transcriptions: usage.Transcription, openai.Translations: usage.Translation,
		openai.Realtime: usage.Realtime,
	}
	if int(op) >= len(names) {
		return ""
	}
	return names[op]
}

// limitOf returns the name of the limit that counts a dimension.
func limitOf(d quota.Dimension) usage.Limit {
	switch d {
	case quota.Requests:
		return usage.RequestLimit
	case quota.Tokens:
		return usage.TokenLimit
	case quota.Spend:
		return usage.BudgetLimit
	case quota.Concurrency:
	}
	return usage.ConcurrencyLimit
}

// answered notes what an answer says of itself.
func answered(rec *usage.Record, f *openai.Facts) {
	if f.Model == "" && f.ID == "" {
		return
	}
	rec.Served, rec.ResponseID, rec.ServiceTier, rec.Fingerprint = f.Model, openai.Word(f.ID), f.ServiceTier, f.Fingerprint
	rec.Filters = filterings(f.Filters.List())
}

// filterings returns what a content filter found as records have it.
func filterings(found []openai.Filter) []usage.Filtering {
	var all []usage.Filtering
	for _, f := range found {
		all = append(all, usage.Filtering(f))
	}
	return all
}
