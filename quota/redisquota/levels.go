package redisquota

import (
	"math"
	"sync"
	"time"

	"weir/quota"
)

var _ quota.Viewer = (*Limiter)(nil)

// stale is how long an account is remembered that nobody asks for. Its buckets are
// full by then, or as good as.
const stale = time.Hour

// sights are the accounts as Redis last told of them, with what this process has
// settled since.
type sights struct {
	mu sync.Mutex
	of map[string]sight
}

// sight is one account.
type sight struct {
	requests, tokens level
	open, used       int64
	window           string
	until            time.Time // of the budget's window
	at               time.Time // by Redis's clock
}

// learn remembers the levels of a decision about a lease.
func (g *sights) learn(t *lease, d decision) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range d.states {
		v := sight{requests: s.requests, tokens: s.tokens, open: s.open, used: s.used, window: s.window(), until: s.until, at: d.now}
		if d.admitted {
			v.open += t.slots
		}
		g.of[s.ID] = v
	}
}

// settle notes what has come back of what a lease took, and that so many of its
// slots are free.
func (g *sights) settle(t *lease, back quota.Cost, slots int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range t.holds {
		h := &t.holds[i]
		v, ok := g.of[h.ID]
		if !ok {
			continue
		}
		v.open = max(0, v.open-slots)
		v.requests.left += float64(back.Requests)
		v.tokens.left += float64(back.Tokens)
		if v.window == h.window() {
			v.used = max(0, v.used-back.Spend)
		}
		g.of[h.ID] = v
	}
}

// less returns a less b.
func less(a, b quota.Cost) quota.Cost {
	return quota.Cost{Requests: a.Requests - b.Requests, Tokens: a.Tokens - b.Tokens, Spend: a.Spend - b.Spend}
}

// forget drops what nobody has asked for in long.
func (g *sights) forget(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, v := range g.of {
		if now.Sub(v.at) > stale && !now.Before(v.until) {
			delete(g.of, id)
		}
	}
}

// Levels implements quota.Viewer by what Redis last told this process. While Redis
// is away, what is told of an account that goes on with this process's share of its
// rates is where that share stands.
func (l *Limiter) Levels(accounts []quota.Account) []quota.Standing {
	now := l.now()
	away := l.health.away()
	all := make([]quota.Standing, len(accounts))
	for i, a := range accounts {
		l.sights.mu.Lock()
		v, ok := l.sights.of[a.ID]
		l.sights.mu.Unlock()
		all[i] = v.standing(a, now)
		if !ok && a.Limits.Budget.Amount > 0 {
			all[i].Budget = quota.Level{}
		}
		if away && a.Away == quota.AwayLocal {
			share := a
			share.Limits = l.part(a.Limits)
			s := l.local.rates.Levels([]quota.Account{share})[0]
			s.Budget = all[i].Budget
			all[i] = s
		}
	}
	return all
}

// standing returns where an account stands at a time under its limits.
func (v sight) standing(a quota.Account, now time.Time) quota.Standing {
	s := quota.Standing{Slots: quota.Slots(a, v.open)}
	since := max(0, now.Sub(v.at))
	if of := limitOf(a.Limits.RequestsPerMinute, a.Limits.BurstRequests); of != (limit{}) {
		s.Requests = v.requests.under(of, since).snapshot(a.ID)
	}
	if of := limitOf(a.Limits.TokensPerMinute, a.Limits.BurstTokens); of != (limit{}) {
		s.Tokens = v.tokens.under(of, since).snapshot(a.ID)
	}
	if amount := min(a.Limits.Budget.Amount, most); amount > 0 && now.Before(v.until) {
		s.Budget = quota.Level{Account: a.ID, Limit: amount, Remaining: max(0, amount-v.used), Reset: untilNext(now, v.until)}
	}
	return s
}

// under returns a level so long after it was told, in the same fraction of a limit.
func (v level) under(of limit, since time.Duration) level {
	if v.limit == (limit{}) {
		return level{of, float64(of.burst)}
	}
	left := math.Min(float64(v.burst), v.left+since.Minutes()*float64(v.perMinute))
	return level{of, left * float64(of.burst) / float64(v.burst)}
}
