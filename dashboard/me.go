package dashboard

import (
	"cmp"
	"slices"
	"time"

	"weir/usage"
)

// MePath is where the holder of a key is told of it.
const MePath = "/admin/me"

// Me is what the holder of a key is told: of its own team and its own key, and of
// nothing else.
type Me struct {
	Object string `json:"object"` // weir.me
	Team   string `json:"team"`
	Key    string `json:"key,omitempty"`
	Owner  string `json:"owner,omitempty"` // whom to ask for more

	Limits []Limit    `json:"limits"` // of the team, and of the key where it has its own
	Models []string   `json:"models"` // that it may use
	Hour   HourSums   `json:"last_hour"`
	Period PeriodSums `json:"this_month"`
	Errors []Request  `json:"last_errors"` // of the key, the newest first
}

// HourSums are what a key did in the last hour, since the gateway began.
type HourSums struct {
	Requests uint32            `json:"requests"`
	Refused  uint32            `json:"refused"` // by a policy, by a limit, or as no good request
	Failed   uint32            `json:"failed"`  // for no fault of their caller's
	Input    uint64            `json:"input_tokens"`
	Output   uint64            `json:"output_tokens"`
	Cost     float64           `json:"cost_usd"`
	Reasons  map[string]uint32 `json:"refused_by,omitempty"`
}

// PeriodSums are what a key did since a time, as the ledger knows it.
type PeriodSums struct {
	Since    time.Time `json:"since"`
	Requests int64     `json:"requests"`
	Refused  int64     `json:"refused"` // by a policy or a limit
	Errors   int64     `json:"errors"`  // others that were not answered, whoever was at fault
	Input    int64     `json:"input_tokens"`
	Output   int64     `json:"output_tokens"`
	Cost     float64   `json:"cost_usd"`
}

// lastErrors is how many of a key's own errors its holder is told.
const lastErrors = 20

// Me returns what is known in memory of a key and of nobody else. Where others used
// the same key, they are the same to the gateway.
func (d *Dashboard) Me(team, key string, now time.Time) Me {
	me := Me{Object: "weir.me", Team: team, Key: key, Limits: []Limit{}, Models: []string{}, Errors: []Request{}}
	d.mu.Lock()
	if h := d.holders[holder{team, key}]; h != nil {
		hour := h.hour(now)
		me.Hour = hour.told()
	}
	d.mu.Unlock()
	me.Errors = d.errorsOf(team, key)
	return me
}

// errorsOf returns the last requests of a key that were answered with an error.
func (d *Dashboard) errorsOf(team, key string) []Request {
	out := []Request{}
	for before := int64(0); len(out) < lastErrors; {
		found, more := d.find(filter{team: team, key: key}, looked, before)
		for i := range found {
			// An empty name of a filter asks for any.
			if own := found[i].Team == team && found[i].Key == key; own && found[i].Outcome != usage.OK && len(out) < lastErrors {
				out = append(out, found[i])
			}
		}
		if !more {
			break
		}
		before = found[len(found)-1].N
	}
	return out
}

func (s *sums) told() HourSums {
	return HourSums{
		Requests: s.count(), Refused: s.requests[turnedAway], Failed: s.requests[broken],
		Input: s.input, Output: s.output, Cost: s.cost.Dollars(), Reasons: s.reasons(),
	}
}

// KeyRow is what a key of a team did in the last hour.
type KeyRow struct {
	Key string `json:"key"`
	HourSums
}

// topKeys is how many keys of a team are shown.
const topKeys = 20

// keys returns the keys of a team that called in the last hour, the busiest first.
func (d *Dashboard) keys(team string, now time.Time) []KeyRow {
	out := []KeyRow{}
	d.mu.Lock()
	for of, h := range d.holders {
		if of.team != team {
			continue
		}
		if all := h.hour(now); all.count() > 0 {
			out = append(out, KeyRow{of.key, all.told()})
		}
	}
	d.mu.Unlock()
	slices.SortFunc(out, func(a, b KeyRow) int {
		return cmp.Or(cmp.Compare(b.Input+b.Output, a.Input+a.Output), cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Key, b.Key))
	})
	return out[:min(topKeys, len(out))]
}
