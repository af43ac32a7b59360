package redisquota

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"weir/quota"
)

// lease is a reservation in Redis, and what its settlement needs.
type lease struct {
	id    string
	slots int64 // 1, or those of a slice, or none
	cost  quota.Cost
	holds []hold
}

// hold is what a lease has of one account.
type hold struct {
	quota.Account
	hash, leases string // its keys
	requests     limit
	tokens       limit
	from, until  time.Time // of the budget's window
	spent        string    // before that window was opened; empty: not asked
	opener       string    // who had opened the window
}

// limit is one allowance as the scripts take it; the zero value is none.
type limit struct{ perMinute, burst int64 }

// most is the largest amount that a float counts exactly.
const most = 1 << 53

func limitOf(perMinute, burst int64) limit {
	if perMinute == 0 {
		return limit{}
	}
	if burst == 0 {
		burst = perMinute
	}
	return limit{min(perMinute, most), min(burst, most)}
}

// slotsOf returns how many slots a cost needs.
func slotsOf(cost quota.Cost) int64 {
	if cost.Further {
		return 0
	}
	return 1
}

// lease returns a reservation to ask for.
func (l *Limiter) lease(held []quota.Account, cost quota.Cost, slots int64) *lease {
	t := &lease{
		id: l.prefix + strconv.FormatUint(l.last.Add(1), 36), slots: slots,
		cost: cost, holds: make([]hold, len(held)),
	}
	for i, a := range held {
		hash, leases := keys(a.Group, a.ID)
		t.holds[i] = hold{
			Account: a, hash: hash, leases: leases,
			requests: limitOf(a.Limits.RequestsPerMinute, a.Limits.BurstRequests),
			tokens:   limitOf(a.Limits.TokensPerMinute, a.Limits.BurstTokens),
		}
	}
	t.windows(l.now())
	return t
}

// windows chooses the windows of the budgets by a time. What was spent in
// another window does not count.
func (t *lease) windows(now time.Time) {
	for i := range t.holds {
		h := &t.holds[i]
		if h.Limits.Budget.Amount == 0 {
			continue
		}
		from, until := h.Limits.Budget.Window(now)
		if !from.Equal(h.from) || !until.Equal(h.until) {
			h.from, h.until, h.spent = from, until, ""
		}
	}
}

// window is the name of the budget's window, empty where there is no budget.
func (h *hold) window() string {
	if h.Limits.Budget.Amount == 0 {
		return ""
	}
	return strconv.FormatInt(h.from.UnixMilli(), 10) + "-" + strconv.FormatInt(h.until.UnixMilli(), 10)
}

// keys returns the keys of an account. Those of a group are in one slot of a
// cluster: what is in the braces alone decides, and no name has a brace then.
func keys(group, account string) (hash, leases string) {
	if group == "" {
		group = "-" // empty braces would decide nothing
	}
	base := "weir:{" + url.QueryEscape(group) + "}:" + url.QueryEscape(account)
	return base, base + ":leases"
}

// names returns the keys of a lease as the scripts take them.
func (t *lease) names() []string {
	names := make([]string, 0, 2*len(t.holds))
	for i := range t.holds {
		names = append(names, t.holds[i].hash, t.holds[i].leases)
	}
	return names
}

// asking returns the arguments of reserve.lua.
func (t *lease) asking(ttl time.Duration) []any {
	args := make([]any, 0, 6+9*len(t.holds))
	args = append(args, t.id, ttl.Milliseconds(), t.cost.Requests, t.cost.Tokens, t.cost.Spend, t.slots)
	for i := range t.holds {
		h := &t.holds[i]
		args = append(args, h.requests.perMinute, h.requests.burst, h.tokens.perMinute, h.tokens.burst,
			h.Limits.Concurrency, min(h.Limits.Budget.Amount, most))
		if window := h.window(); window != "" {
			from, until, _ := strings.Cut(window, "-")
			args = append(args, from, until, h.spent)
		} else {
			args = append(args, 0, 0, "")
		}
	}
	return args
}
