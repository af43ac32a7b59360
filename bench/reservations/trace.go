package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// modelOutput is the longest answer of the model, as gpt-4o's.
const modelOutput = 16_384

// team is who asks: how often, how much, and what it may use.
type team struct {
	name      string
	perMinute int64   // tokens that it may use, and have at once
	quiet     float64 // requests a second outside of bursts
	prompt    mixture
	answer    mixture
	bounds    float64 // share of its requests that name max_tokens
}

// mixture is a distribution of lengths: one of several log-normal ones, each as
// often as its weight says.
type mixture []part

// part is a log-normal distribution.
type part struct {
	weight, median, sigma float64
}

// request is one request of the trace.
type request struct {
	at     time.Duration
	team   int
	prompt int64
	output int64 // that the model writes, where nothing cuts it
	bound  int64 // that the client names; 0 none
}

// used returns the tokens of its answer.
func (r request) used() int64 {
	if r.bound > 0 {
		return min(r.bound, r.output)
	}
	return r.output
}

// lasts returns how long the model takes to answer: until it begins, and then so
// many tokens a second.
func (r request) lasts() time.Duration {
	const begins, perSecond = 600 * time.Millisecond, 70
	return begins + time.Duration(r.used())*time.Second/perSecond
}

// teams returns who asks. The lengths are those that are told of such uses: answers
// of a chat are a few hundred tokens with a heavy tail, a field that is extracted
// from a text a few dozen, a draft a few thousand, an agent's are calls of tools and
// now and then a report. On the average each wants a little less than it may use, and
// in its bursts much more.
func teams() []team {
	return []team{
		{
			name: "chat", perMinute: 200_000, quiet: 1.5, bounds: 0.2,
			prompt: mixture{{1, 700, 0.8}},
			answer: mixture{{0.85, 220, 0.7}, {0.15, 900, 0.6}},
		},
		{
			name: "extract", perMinute: 120_000, quiet: 0.75, bounds: 0.5,
			prompt: mixture{{1, 1200, 0.5}},
			answer: mixture{{1, 40, 0.5}},
		},
		{
			name: "draft", perMinute: 100_000, quiet: 0.28, bounds: 0.1,
			prompt: mixture{{1, 500, 0.7}},
			answer: mixture{{0.9, 2000, 0.6}, {0.1, 7000, 0.5}},
		},
		{
			name: "agents", perMinute: 150_000, quiet: 0.6, bounds: 0.3,
			prompt: mixture{{1, 1500, 0.7}},
			answer: mixture{{0.8, 60, 0.5}, {0.2, 2200, 0.8}},
		},
	}
}

// trace returns the requests of all teams in the order in which they come.
func trace(teams []team, length time.Duration) []request {
	var all []request
	for i := range teams {
		random := rand.New(rand.NewPCG(uint64(i), 2026)) //nolint:gosec // the same trace at each run
		for _, at := range arrivals(random, teams[i].quiet, length) {
			all = append(all, teams[i].request(random, i, at))
		}
	}
	slices.SortStableFunc(all, func(a, b request) int { return int(a.at - b.at) })
	return all
}

// arrivals returns when requests come: independently of each other, and five times
// as often in bursts of half a minute on the average, one each three minutes or so.
func arrivals(random *rand.Rand, quiet float64, length time.Duration) []time.Duration {
	const burst, calm, factor = 30.0, 170.0, 5
	var all []time.Duration
	now, turn, busy := 0.0, calm*random.ExpFloat64(), false
	for {
		rate := quiet
		if busy {
			rate *= factor
		}
		if next := now + random.ExpFloat64()/rate; next < turn {
			if next >= length.Seconds() {
				return all
			}
			now = next
			all = append(all, time.Duration(now*float64(time.Second)))
			continue
		}
		// The state changes first; what comes then is drawn anew.
		now, busy = turn, !busy
		if busy {
			turn += burst * random.ExpFloat64()
		} else {
			turn += calm * random.ExpFloat64()
		}
	}
}

// request returns a request of the team. A client that names max_tokens names one of
// the usual numbers, with room for an answer of its team, which now and then is cut.
func (t *team) request(random *rand.Rand, index int, at time.Duration) request {
	r := request{
		at: at, team: index,
		prompt: min(t.prompt.draw(random), 16_000),
		output: min(t.answer.draw(random), modelOutput),
	}
	if random.Float64() < t.bounds {
		wish := 2 * t.answer.draw(random)
		for r.bound = 128; r.bound < wish && r.bound < 8192; {
			r.bound *= 2
		}
	}
	return r
}

// draw returns a length.
func (m mixture) draw(random *rand.Rand) int64 {
	at := random.Float64()
	p := m[len(m)-1]
	for _, q := range m {
		if at -= q.weight; at < 0 {
			p = q
			break
		}
	}
	return 1 + int64(p.median*math.Exp(p.sigma*random.NormFloat64()))
}
