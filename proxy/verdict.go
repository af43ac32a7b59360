package proxy

import (
	"errors"

	"weir/openai"
	"weir/policy"
	"weir/usage"
)

// judge notes what each rule of the team's policy made of a request: screened and
// fitted are their refusals.
func (d *decision) judge(rec *usage.Record, team Team, screened, fitted error) {
	rec.Policy, rec.Shadow = team.Policy, team.Shadow
	if !d.operation.Generates() {
		return
	}
	v := &rec.Verdict
	switch {
	case team.Screen.Mode == policy.Allow:
	case screened != nil:
		v[usage.SpecialTokens] = usage.Reject
	case d.marked:
		v[usage.SpecialTokens] = usage.Escape
	default:
		v[usage.SpecialTokens] = usage.Pass
	}
	if screened != nil && !team.Shadow {
		return // nothing else was asked
	}
	refusing, refused := d.refusing(fitted)
	for _, rule := range d.asked() {
		if refused && rule == refusing {
			v[rule] = usage.Reject
			return
		}
		v[rule] = usage.Pass
	}
	d.changed(v)
}

// changed notes which rules changed the request, or would have.
func (d *decision) changed(v *usage.Verdict) {
	f := d.judged
	if f.Turned {
		v[usage.MaxTurns] = usage.Trim
	}
	if f.Shortened {
		v[d.shortest()] = usage.Trim
	}
	switch {
	case f.Set != "":
		v[usage.DefaultOutput] = usage.Lower
	case f.Lowered > 0:
		v[usage.MaxOutput] = usage.Lower
	}
}

// asked returns the rules that have something to say of the request, in the order in
// which they are asked.
func (d *decision) asked() []usage.Rule {
	w := d.window
	var all [5]usage.Rule
	rules := all[:0]
	for _, r := range [...]struct {
		rule usage.Rule
		on   bool
	}{
		{usage.MaxOutput, w.TeamOutput > 0 || w.MaxOutput > 0},
		{usage.MaxTurns, w.MaxTurns > 0},
		{usage.ContextWindow, w.Context > 0 || w.MaxInput > 0},
		{usage.MaxInput, w.TeamInput > 0},
		{usage.DefaultOutput, w.DefaultOutput > 0},
	} {
		if r.on {
			rules = append(rules, r.rule)
		}
	}
	return rules
}

// refusing returns the rule that refused to fit the request; ok is false where none
// did.
func (d *decision) refusing(err error) (rule usage.Rule, ok bool) {
	e, ok := errors.AsType[*openai.Error](err)
	if !ok {
		return 0, false
	}
	switch e.Code {
	case openai.CodeTooManyTurns:
		return usage.MaxTurns, true
	case openai.CodeContextLength:
		if d.fitted.Prompt > d.window.TeamInput {
			return d.shortest(), true
		}
		return usage.ContextWindow, true
	default:
		return usage.MaxOutput, true
	}
}

// shortest returns the rule that bounds the prompt.
func (d *decision) shortest() usage.Rule {
	if _, team := d.window.Longest(); team {
		return usage.MaxInput
	}
	return usage.ContextWindow
}
