package proxy

import (
	"context"
	"net/http"

	"weir/openai"
	"weir/policy"
	"weir/usage"
)

// decision is what became of a request before it was sent.
type decision struct {
	operation openai.Operation
	request   *openai.Request
	fitted    policy.Fitted
	model     Model
	choices   int64
	regions   []string // that it may be sent to; empty: any
	usage     bool     // the client asked for a usage chunk
	stream    bool
	escaped   int
	window    policy.Window
	rough     bool         // fitted.Prompt is a bound, and the request was not counted
	attached  openai.Usage // roughly, of the files of a form; part of fitted.Prompt
	kinds     usage.Kinds  // what of it may be beside text, where that has a price of its own
	aloud     bool         // it may be answered with sound
	drawn     int64        // the most tokens that an image comes to which it asks for
	share     openai.Share

	team string // whose it is
	only string // the deployment that must answer; "" any will do
	free bool   // what was used has been charged already

	entry *reservation // what was taken of the allowances before the body was read; nil: nothing

	metered bool // what is handed on as it is may say what it used

	behind bool // upstream goes on with it when nobody listens

	// ids returns the edits that make of the ids in an answer, or in an event of
	// one, those that the team knows; from is who gave it. Nil: it has none.
	ids   func(root openai.Value, from string) []openai.Edit
	names map[string]string // what the team knows that upstream may quote of the request, by what it is there

	// ask answers by more than one call; nil: one is sent.
	ask func(ctx context.Context, rec *usage.Record) (*openai.Answer, error)

	reserved int64    // the tokens that were asked of the allowance
	shadow   []string // what would have been refused, by code, or changed

	marked bool          // there were special tokens to be made harmless
	judged policy.Fitted // what fitting came to, whether or not it was carried out
}

// call returns what goes upstream.
func (d *decision) call(r *http.Request, m Model) *openai.Call {
	call := callOf(r, d.share, d.regions)
	call.Request, call.Model, call.Added, call.Only = d.request, m.Name, d.fitted.Set, d.only
	call.Prompt, call.Output = d.fitted.Prompt, d.fitted.Output
	return call
}

// prompt returns the prompt's length, which it counts where nobody has.
func (d *decision) prompt() int64 {
	if d.rough && d.request != nil {
		d.fitted.Prompt, d.rough = d.model.prompt(d.request).Total, false
	}
	return d.fitted.Prompt
}
