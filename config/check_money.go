package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // for machines without time zones
)

// modeShadow is the mode of a limit or a budget that lets pass.
const modeShadow = "shadow"

// checkPrices checks and completes the prices of a model and its deployments.
func (r *reader) checkPrices(path string, m Model) {
	r.checkPrice(path+".price", m.Price)
	for i, d := range m.Deployments {
		r.checkPrice(item(path+".deployments", i)+".price", d.Price)
	}
}

// checkPrice fills in what a price leaves away, and reports amounts that are not
// whole billionths of a dollar for a token.
func (r *reader) checkPrice(path string, p *Price) {
	if p == nil {
		return
	}
	for _, part := range p.parts() {
		at := path + "." + part.key
		switch _, written := r.places[at]; {
		case !written && part.otherwise != nil:
			*part.usd = *part.otherwise
			if _, cached := r.places[path+".cached_input"]; cached && part.cached {
				*part.usd = p.CachedInput
			}
		case written && decimals(*part.usd) > 3:
			r.fault(at, codeRange, part.key+" must have three decimals at most, which is a billionth of a dollar for each token",
				"round it to "+strconv.FormatFloat(*part.usd, 'f', 3, 64))
		}
	}
}

// pricePart is one of the prices of tokens.
type pricePart struct {
	key       string
	usd       *float64
	otherwise *float64 // what it is where it is not written; nil: it must be
	cached    bool     // or else that of cached_input, where that is written
}

// parts returns the prices of tokens, each behind those that it may follow.
func (p *Price) parts() []pricePart {
	return []pricePart{
		{"input", &p.Input, nil, false},
		{"cached_input", &p.CachedInput, &p.Input, false},
		{"output", &p.Output, nil, false},
		{"reasoning_output", &p.ReasoningOutput, &p.Output, false},
		{"audio_input", &p.AudioInput, &p.Input, false},
		{"audio_cached", &p.AudioCached, &p.AudioInput, true},
		{"audio_output", &p.AudioOutput, &p.Output, false},
		{"image_input", &p.ImageInput, &p.Input, false},
		{"image_cached", &p.ImageCached, &p.ImageInput, true},
		{"image_output", &p.ImageOutput, &p.Output, false},
	}
}

// decimals returns how many digits an amount has behind its point.
func decimals(x float64) int {
	_, rest, _ := strings.Cut(asText(x), ".")
	return len(rest)
}

// checkMoney checks the budgets, and that what they are spent on has a price.
func (r *reader) checkMoney(f *File) {
	for name, t := range sorted(f.Teams) {
		path := "teams." + name
		r.checkBudget(path+".budget", t.Budget)
		for i, k := range t.Keys {
			at := item(path+".keys", i) + ".budget"
			r.checkBudget(at, k.Budget)
			if team := t.Budget; team.USD > 0 && team.Period == k.Budget.Period && team.Mode != modeShadow && k.Budget.USD > team.USD {
				r.fault(at+".usd", codeNever, "usd can never apply: the team has "+asText(team.USD)+" in the same "+team.Period, "make it smaller than the team's")
			}
		}
	}
	for name, m := range sorted(f.Models) {
		if !r.priced(m) {
			r.checkUnpriced(name, m, f)
		}
	}
}

// checkBudget checks one budget, and puts its alerts in order.
func (r *reader) checkBudget(path string, b Budget) {
	if at := path + ".usd"; decimals(b.USD) > 9 && !r.faulty(at) {
		r.fault(at, codeRange, "usd must have nine decimals at most, which is a billionth of a dollar", "round it to "+strconv.FormatFloat(b.USD, 'f', 9, 64))
	}
	if _, err := time.LoadLocation(b.Zone); err != nil || b.Zone == "Local" {
		at := path + ".zone"
		r.fault(at, codeMalformed, "no time zone is called "+r.said(at, b.Zone), "write UTC, or a name such as Europe/Berlin")
	}
	for i, part := range b.AlertAt {
		switch at := item(path+".alert_at", i); {
		case r.faulty(at):
		case part <= 0 || part > 1:
			hint := ""
			if part > 1 && part <= 100 {
				hint = "write " + asText(float64(part)) + "%"
			}
			r.fault(at, codeRange, "a share must be above 0% and at most 100%", hint)
		case slices.Contains(b.AlertAt[:i], part):
			r.fault(at, codeTaken, part.String()+" stands here twice", "remove one")
		}
	}
	slices.Sort(b.AlertAt)
}

// priced reports whether every token of a model has a price that is known.
func (r *reader) priced(m Model) bool {
	return m.Price != nil || r.opts.KnownPrice == nil || r.opts.KnownPrice(m.BaseModel) ||
		!slices.ContainsFunc(m.Deployments, func(d Deployment) bool { return d.Price == nil })
}

// checkUnpriced warns of a model without a price, where it is used by a team that
// has a budget.
func (r *reader) checkUnpriced(name string, m Model, f *File) {
	for team, t := range sorted(f.Teams) {
		if len(budgets(t)) > 0 && mayUse(t, name, m) {
			r.fault("models."+name+".price", codeNoPrice, "the price of the model "+quote(name)+
				" is not known: requests to it cost nothing, and escape the budget of the team "+quote(team),
				"add price: { input: 2.5, output: 10 }, in US dollars for a million tokens")
			return
		}
	}
}

// budgets returns the budgets of a team and its keys.
func budgets(t Team) []Budget {
	all := []Budget{t.Budget}
	for _, k := range t.Keys {
		all = append(all, k.Budget)
	}
	return slices.DeleteFunc(all, func(b Budget) bool { return b.USD == 0 })
}

// alerts reports whether any budget has alerts.
func alerts(f *File) bool {
	for _, t := range f.Teams {
		if slices.ContainsFunc(budgets(t), func(b Budget) bool { return len(b.AlertAt) > 0 }) {
			return true
		}
	}
	return false
}

// longestPeriod returns how long the longest window of a budget can be, 0 without
// budgets. Clocks that go back make an hour of difference.
func longestPeriod(f *File) time.Duration {
	longest := time.Duration(0)
	for _, t := range f.Teams {
		for _, b := range budgets(t) {
			window := 25 * time.Hour
			if b.Period == "month" {
				window = 31*24*time.Hour + time.Hour
			}
			longest = max(longest, window)
		}
	}
	return longest
}

// asText writes a number without an exponent.
func asText(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
