package policy

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	"weir/openai"
)

// unbounded is what is kept for an answer that the client did not bound, in tokens,
// but no more than a quarter of the window.
const unbounded = 1024

// Window is what a request must fit into. Every zero is no bound.
type Window struct {
	Context   int64 // prompt and answer together
	MaxInput  int64 // the model's longest prompt
	MaxOutput int64 // the model's longest answer

	TeamInput     int64 // the team's longest prompt
	TeamOutput    int64 // the longest answer that the team may ask for
	DefaultOutput int64 // set where the client names none
	RejectOutput  bool  // refuse what is above TeamOutput instead of lowering it

	MaxTurns int  // the longest conversation
	Trim     bool // drop the oldest turns instead of refusing

	// OutputField is the field in which the model takes a bound on its answer,
	// for a request that names none. "" stands for max_tokens.
	OutputField string
}

// Prompt is a request's length in tokens.
type Prompt struct {
	Total    int64
	Messages []int64 // of each message

	// The parts of Total besides the messages.
	Tools, ResponseFormat, Prediction, Overhead int64

	Images    int64 // the share of images in Messages
	Estimated bool  // a part has no public rule and was charged by a bound
}

// Fitted is what Window.Fit made of a request.
type Fitted struct {
	Edits   []openai.Edit // what is to be changed in the request
	Prompt  int64         // its length then
	Output  int64         // the bound on each choice's answer; 0 none
	Lowered int64         // Output where Fit lowered or set it
	Set     string        // the field that Fit added for it; "" none
	Trimmed int           // how many messages were dropped

	// Why messages were dropped: the conversation had too many turns, or it was too
	// long, or both.
	Turned, Shortened bool
}

// Input returns the longest prompt that may be sent, 0 for any.
func (w Window) Input() int64 { return least(w.MaxInput, w.TeamInput) }

// Output returns the longest answer that may be asked for, 0 for any.
func (w Window) Output() int64 { return least(w.MaxOutput, w.TeamOutput) }

// Longest returns the longest prompt that fits beside no answer at all, 0 for any,
// and whether it is the team that allows no more.
func (w Window) Longest() (prompt int64, team bool) {
	prompt = least(w.MaxInput, w.Context)
	if w.TeamInput > 0 && (prompt == 0 || w.TeamInput < prompt) {
		return w.TeamInput, true
	}
	return prompt, false
}

// Left returns what is left of a prompt out of which upstream takes what is too long for
// the model beside an answer with that bound, 0 for none.
func (w Window) Left(prompt, output int64) int64 {
	if output == 0 {
		output = max(w.DefaultOutput, min(unbounded, w.Context/4))
	}
	if most := w.Context - output; most > 0 {
		prompt = min(prompt, most)
	}
	if w.MaxInput > 0 {
		prompt = min(prompt, w.MaxInput)
	}
	return prompt
}

// bounded returns n, or as much of it as an answer to such a prompt may have.
func (w Window) bounded(n, prompt int64) int64 {
	for _, bound := range []int64{w.TeamOutput, w.MaxOutput, w.Context - prompt} {
		if bound > 0 {
			n = min(n, bound)
		}
	}
	return n
}

// least returns the smaller of two bounds, of which 0 is none.
func least[T int64 | float64](a, b T) T {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// Fit returns how the request fits into the window, or an *openai.Error that
// says why it does not: in Azure's own words, on which clients match.
func (w Window) Fit(r *openai.Request, p Prompt) (Fitted, error) {
	f := Fitted{Prompt: p.Total, Output: r.MaxTokens}
	if err := w.fitOutput(r, &f); err != nil {
		return Fitted{}, err
	}
	if err := w.fitPrompt(r, p, &f); err != nil {
		return Fitted{}, err
	}
	w.setOutput(r, &f)
	return f, nil
}

// fitOutput lowers or refuses the bound that the client named.
func (w Window) fitOutput(r *openai.Request, f *Fitted) error {
	field := r.MaxTokensField
	if w.TeamOutput > 0 && f.Output > w.TeamOutput {
		if w.RejectOutput {
			return openai.BadRequest(openai.CodeInvalidValue, field, fmt.Sprintf(
				"%s is too large: %d. The policy allows at most %d completion tokens, whereas you provided %d.",
				field, f.Output, w.TeamOutput, f.Output))
		}
		f.Output, f.Lowered = w.TeamOutput, w.TeamOutput
		f.Edits = append(f.Edits, r.Root.Set(field, strconv.FormatInt(f.Output, 10)))
	}
	if w.MaxOutput > 0 && f.Output > w.MaxOutput {
		return openai.BadRequest(openai.CodeInvalidValue, field, fmt.Sprintf(
			"%s is too large: %d. This model supports at most %d completion tokens, whereas you provided %d.",
			field, r.MaxTokens, w.MaxOutput, r.MaxTokens))
	}
	return nil
}

// fitPrompt trims the conversation where it must and may, and refuses what still
// does not fit.
func (w Window) fitPrompt(r *openai.Request, p Prompt, f *Fitted) error {
	turns := split(r)
	drop := 0
	if w.MaxTurns > 0 && len(turns) > w.MaxTurns {
		drop = len(turns) - w.MaxTurns
		if !w.Trim {
			return openai.BadRequest(openai.CodeTooManyTurns, "messages", fmt.Sprintf(
				"The conversation has %d turns, and the policy allows %d. Start a new one, or leave out its oldest turns.",
				len(turns), w.MaxTurns))
		}
	}
	total := p.Total - turns.cost(p, 0, drop)
	turned := drop > 0
	for w.Trim && w.refuse(total, f.Output) != nil && drop < len(turns)-1 {
		total -= turns.cost(p, drop, drop+1)
		drop++
		f.Shortened = true
	}
	if err := w.refuse(total, f.Output); err != nil {
		return err
	}
	if drop > 0 {
		gone := turns.members(drop)
		f.Edits = append(f.Edits, r.Root.Get("messages").Drop(func(i int) bool { return gone[i] })...)
		f.Trimmed, f.Prompt, f.Turned = len(gone), total, turned
	}
	return nil
}

// refuse returns why a prompt of that length does not fit, nil where it does.
func (w Window) refuse(prompt, output int64) error {
	limit, team := w.Longest()
	why := ""
	if team {
		why = " The limit is the policy's max_input_tokens."
	}
	reserve := output
	if output == 0 && w.Trim {
		reserve = min(unbounded, w.Context/4)
	}
	switch {
	case limit > 0 && prompt > limit, w.Context > 0 && prompt >= w.Context:
		return openai.BadRequest(openai.CodeContextLength, "messages", fmt.Sprintf(
			"This model's maximum context length is %d tokens. However, your messages resulted in %d tokens. "+
				"Please reduce the length of the messages.%s", limit, prompt, why))
	case w.Context > 0 && prompt > w.Context-reserve:
		return openai.BadRequest(openai.CodeContextLength, "messages", fmt.Sprintf(
			"This model's maximum context length is %d tokens. However, you requested %d tokens "+
				"(%d in the messages, %d in the completion). Please reduce the length of the messages or completion.",
			w.Context, prompt+min(reserve, math.MaxInt64-prompt), prompt, reserve))
	}
	return nil
}

// setOutput sets the policy's default where the client named no bound, and never
// one that the window has no room for.
func (w Window) setOutput(r *openai.Request, f *Fitted) {
	if f.Output > 0 || w.DefaultOutput == 0 {
		return
	}
	n := w.bounded(w.DefaultOutput, f.Prompt)
	field := cmp.Or(w.OutputField, "max_tokens")
	f.Output, f.Lowered, f.Set = n, n, field
	f.Edits = append(f.Edits, r.Root.Set(field, strconv.FormatInt(n, 10)))
}

// Reserve returns the tokens to reserve for a request: its prompt and the answers
// that it may produce. An answer without a bound is taken for one of the usual
// length (0: not known), and then the whole is at most burst, the largest
// reservation that is ever admitted (0: any), so that neither a small allowance nor
// long answers in the past ever shut such a request out.
func (w Window) Reserve(f Fitted, usual, choices, burst int64) int64 {
	output := f.Output
	if output == 0 {
		output = unbounded
		if usual > 0 {
			output = usual
		}
		output = w.bounded(output, f.Prompt)
	}
	const large = 1 << 53
	choices = max(1, choices)
	total := int64(large)
	if output < large/choices {
		total = f.Prompt + output*choices
	}
	if f.Output == 0 && burst > 0 && total > burst {
		total = max(burst, f.Prompt)
	}
	return total
}
