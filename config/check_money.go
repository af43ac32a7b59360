package config

import "strconv"

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
	if _, written := r.places[path+".cached_input"]; !written {
		p.CachedInput = p.Input
	}
	if _, written := r.places[path+".reasoning_output"]; !written {
		p.ReasoningOutput = p.Output
	}
	for _, amount := range []struct {
		key string
		usd float64
	}{{"input", p.Input}, {"cached_input", p.CachedInput}, {"output", p.Output}, {"reasoning_output", p.ReasoningOutput}} {
		at := path + "." + amount.key
		if _, written := r.places[at]; written && decimals(amount.usd) > 3 {
			r.fault(at, codeRange, amount.key+" must have three decimals at most, which is a billionth of a dollar for each token",
				"round it to "+strconv.FormatFloat(amount.usd, 'f', 3, 64))
		}
	}
}

// decimals returns how many digits an amount has behind its point.
func decimals(x float64) int {
	text := strconv.FormatFloat(x, 'f', -1, 64)
	for i := range text {
		if text[i] == '.' {
			return len(text) - i - 1
		}
	}
	return 0
}
