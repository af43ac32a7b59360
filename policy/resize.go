package policy

// Resize makes q what is known of the deployment from now on. What has been used
// keeps its share of what is admitted, until answers say better.
func (t *Twin) Resize(q Quota) {
	if q.Slice <= 0 {
		q.Slice = twinSlice
	}
	tokens, requests := ratio(q.Tokens, t.own.Tokens), ratio(q.Requests, t.own.Requests)
	t.own = q
	t.tokens *= tokens
	t.requests *= requests
	if q.Requests > 0 {
		t.burst = 0 // it was only a guess
	}
	for i := range t.past {
		g := &t.past[i]
		g.tokens, g.foreign = g.tokens*tokens, g.foreign*tokens
		g.requests, g.others = g.requests*requests, g.others*requests
	}
}

// ratio returns what a limit is to the one before, 1 where one of them is not
// known.
func ratio(now, before int64) float64 {
	if now <= 0 || before <= 0 {
		return 1
	}
	return float64(now) / float64(before)
}
