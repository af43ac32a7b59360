package quota_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weir/quota"
)

// TestMemoryDoesAsTheOracle drives a Memory and an oracle through the same
// random reservations, settlements, reloads and clock steps: 10,000 runs.
func TestMemoryDoesAsTheOracle(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprintf("part %d", i), func(t *testing.T) {
			t.Parallel()
			for range 25 { // times rapid's own 100
				rapid.Check(t, func(t *rapid.T) {
					m := newMachine(t)
					t.Repeat(map[string]func(*rapid.T){
						"":        m.check,
						"reserve": m.reserve,
						"settle":  m.settle,
						"retry":   m.retry,
						"advance": m.advance,
						"reload":  m.reload,
					})
					m.drain(t)
				})
			}
		})
	}
}

// machine is a Memory beside what it should be.
type machine struct {
	memory   *quota.Memory
	clock    *clock
	raw      time.Duration // what the clock shows since the start
	now      time.Duration // the latest of it
	accounts []quota.Account
	pots     []pots
	leases   []*loan
}

// pots is the oracle of one account.
type pots struct {
	requests, tokens pot
	open             int64
}

// loan is a lease and what it took.
type loan struct {
	lease *quota.Lease
	cost  quota.Cost
	from  []part
}

type part struct {
	account          int
	requests, tokens share
}

func newMachine(t *rapid.T) *machine {
	c := newClock()
	m := &machine{clock: c, memory: quota.NewMemory(quota.MemoryConfig{Now: c.Now})}
	for _, id := range []string{"team:a", "key:b"} {
		m.accounts = append(m.accounts, quota.Account{ID: id})
		m.pots = append(m.pots, pots{})
	}
	for i := range m.accounts {
		m.limit(t, i)
	}
	return m
}

// limit gives account i new limits in the memory and the oracle.
func (m *machine) limit(t *rapid.T, i int) {
	rates := rapid.SampledFrom([]int64{0, 1, 7, 60, 100, 100, 6000, 1_000_003})
	bursts := rapid.SampledFrom([]int64{0, 0, 1, 10, 100, 900})
	l := quota.Limits{
		RequestsPerMinute: rates.Draw(t, "requests"), BurstRequests: bursts.Draw(t, "burst of requests"),
		TokensPerMinute: rates.Draw(t, "tokens"), BurstTokens: bursts.Draw(t, "burst of tokens"),
		Concurrency: rapid.SampledFrom([]int64{1, 2, 5, 1000}).Draw(t, "slots"),
	}
	m.accounts[i].Limits = l
	p := &m.pots[i]
	p.requests.limit(m.now, l.RequestsPerMinute, l.BurstRequests)
	p.tokens.limit(m.now, l.TokensPerMinute, l.BurstTokens)
	if _, err := m.look(i); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) reload(t *rapid.T) {
	m.limit(t, rapid.IntRange(0, len(m.accounts)-1).Draw(t, "account"))
}

// look returns the levels of account i as the memory shows them.
func (m *machine) look(i int) (quota.Snapshot, error) {
	lease, err := m.memory.Reserve(context.Background(), m.accounts[i:i+1], quota.Cost{})
	if err == nil {
		lease.Settle(quota.Cost{})
		return lease.Snapshot(), nil
	}
	if no, ok := errors.AsType[*quota.ExceededError](err); ok {
		return no.Snapshot, nil
	}
	return quota.Snapshot{}, err
}

// check compares all levels, and each pot with its bounds.
func (m *machine) check(t *rapid.T) {
	for i := range m.pots {
		p := &m.pots[i]
		got, err := m.look(i)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []struct {
			name  string
			pot   *pot
			level quota.Level
		}{{"requests", &p.requests, got.Requests}, {"tokens", &p.tokens, got.Tokens}} {
			d.pot.flow(m.now)
			if !d.pot.shows(d.level) {
				t.Fatalf("%s of account %d: %+v, want a level of %v, %v a second up to %v",
					d.name, i, d.level, d.pot.level, d.pot.perSecond, d.pot.burst)
			}
			slack := d.pot.slack() * float64(2+len(d.pot.events))
			if over := d.pot.excess(); over > slack {
				t.Fatalf("%s of account %d: %v over the bound", d.name, i, over)
			}
			if len(d.pot.events) == 0 {
				continue
			}
			since := (m.now - d.pot.events[0].at).Seconds()
			if most := d.pot.burst + d.pot.perSecond*since + d.pot.over; d.pot.used > most+slack {
				t.Fatalf("%s of account %d: %v used in %v s, want at most %v", d.name, i, d.pot.used, since, most)
			}
		}
	}
}

func (m *machine) advance(t *rapid.T) {
	d := rapid.OneOf(
		rapid.Int64Range(0, int64(5*time.Second)),
		rapid.Int64Range(0, int64(time.Millisecond)),
		rapid.Int64Range(int64(-time.Hour), int64(2*time.Hour)),
		rapid.Int64Range(int64(-time.Second), 0),
	).Draw(t, "nanoseconds")
	m.move(time.Duration(d))
}

func (m *machine) move(d time.Duration) {
	m.clock.Advance(d)
	m.raw += d
	m.now = max(m.now, m.raw)
}

// reserve draws a reservation and makes it on both sides.
func (m *machine) reserve(t *rapid.T) {
	who, cost := m.draw(t)
	_ = m.try(t, who, cost)
}

func (m *machine) draw(t *rapid.T) ([]int, quota.Cost) {
	who := rapid.SampledFrom([][]int{{0}, {1}, {0, 1}, {1, 0}}).Draw(t, "who")
	// What is about the burst is what decides.
	most := func(limit, burst int64) int64 {
		if burst == 0 {
			burst = limit
		}
		return min(burst+burst/4+1, 5000)
	}
	l := m.accounts[who[0]].Limits
	return who, quota.Cost{
		Requests: rapid.Int64Range(0, most(l.RequestsPerMinute, l.BurstRequests)).Draw(t, "requests"),
		Tokens:   rapid.Int64Range(0, most(l.TokensPerMinute, l.BurstTokens)).Draw(t, "tokens"),
	}
}

// try reserves and fails if the oracle decides otherwise.
func (m *machine) try(t *rapid.T, who []int, cost quota.Cost) *quota.ExceededError {
	accounts := make([]quota.Account, 0, len(who))
	for _, i := range who {
		accounts = append(accounts, m.accounts[i])
	}
	want := m.judge(who, cost)
	lease, err := m.memory.Reserve(context.Background(), accounts, cost)
	if err != nil {
		no, ok := errors.AsType[*quota.ExceededError](err)
		if !ok || want.admits {
			t.Fatalf("Reserve(%v, %+v): %v, want a lease", who, cost, err)
		}
		if no.Permanent != want.never || !no.Permanent && !want.near(no.Wait) {
			t.Fatalf("Reserve(%v, %+v): %v, want a wait of %v s, permanent %t", who, cost, err, want.wait, want.never)
		}
		return no
	}
	if want.refuses {
		t.Fatalf("Reserve(%v, %+v): admitted, want a refusal", who, cost)
	}
	l := &loan{lease: lease, cost: cost}
	for _, i := range who {
		p := &m.pots[i]
		p.open++
		l.from = append(l.from, part{i, p.requests.take(cost.Requests), p.tokens.take(cost.Tokens)})
	}
	m.leases = append(m.leases, l)
	return nil
}

// verdict is what the oracle says. It neither admits nor refuses where
// rounding decides.
type verdict struct {
	admits, refuses, never bool
	slots                  bool    // a slot is lacking
	wait, late             float64 // seconds, and what rounding may add or take
}

func (v verdict) near(got time.Duration) bool {
	return got.Seconds() >= v.wait-v.late && got.Seconds() <= v.wait+v.late+0.001
}

func (m *machine) judge(who []int, cost quota.Cost) verdict {
	v := verdict{admits: true}
	for _, i := range who {
		p := &m.pots[i]
		for _, d := range []struct {
			pot *pot
			n   int64
		}{{&p.requests, cost.Requests}, {&p.tokens, cost.Tokens}} {
			d.pot.flow(m.now)
			if !d.pot.on {
				continue
			}
			lack, slack := d.pot.lack(d.n), d.pot.slack()
			v.never = v.never || float64(d.n) > d.pot.burst
			v.admits = v.admits && lack < -slack
			v.refuses = v.refuses || lack > slack
			v.wait = max(v.wait, lack/d.pot.perSecond)
			v.late = max(v.late, slack/d.pot.perSecond+1e-9*v.wait)
		}
		if p.open >= m.accounts[i].Limits.Concurrency {
			v.slots = true
			v.wait = max(v.wait, 1)
		}
	}
	v.refuses = v.refuses || v.never || v.slots
	v.admits = v.admits && !v.refuses
	return v
}

// retry obeys a refusal's wait, after it was not obeyed.
func (m *machine) retry(t *rapid.T) {
	who, cost := m.draw(t)
	no := m.try(t, who, cost)
	if no == nil || no.Permanent || m.judge(who, cost).slots || m.raw < m.now {
		return
	}
	early := min(no.Wait*8/10, no.Wait-2*time.Millisecond)
	if early > 0 {
		m.move(early)
		if m.try(t, who, cost) == nil {
			t.Fatalf("Reserve(%v, %+v): admitted after %v of %v", who, cost, early, no.Wait)
		}
	}
	m.move(no.Wait - max(0, early))
	if no := m.try(t, who, cost); no != nil {
		t.Fatalf("Reserve(%v, %+v): refused after its wait: %v", who, cost, no)
	}
}

// settle settles a lease, sometimes one that was settled before.
func (m *machine) settle(t *rapid.T) {
	if len(m.leases) == 0 {
		t.Skip("no lease")
	}
	i := rapid.IntRange(0, len(m.leases)-1).Draw(t, "lease")
	l := m.leases[i]
	about := func(n int64, label string) int64 {
		return rapid.OneOf(rapid.Int64Range(0, n), rapid.Int64Range(0, 4*n+3), rapid.Just(n)).Draw(t, label)
	}
	m.end(l, quota.Cost{Requests: about(l.cost.Requests, "requests"), Tokens: about(l.cost.Tokens, "tokens")})
	if rapid.Bool().Draw(t, "again") {
		l.lease.Settle(quota.Cost{Requests: 3, Tokens: 3})
	}
	m.leases = append(m.leases[:i], m.leases[i+1:]...)
}

func (m *machine) end(l *loan, actual quota.Cost) {
	l.lease.Settle(actual)
	for _, f := range l.from {
		p := &m.pots[f.account]
		p.open--
		p.requests.settle(m.now, l.cost.Requests, actual.Requests, f.requests)
		p.tokens.settle(m.now, l.cost.Tokens, actual.Tokens, f.tokens)
	}
}

// drain settles what is left: no slot may stay taken.
func (m *machine) drain(t *rapid.T) {
	for _, l := range m.leases {
		m.end(l, l.cost)
	}
	m.check(t)
	for i := range m.accounts {
		a := quota.Account{ID: m.accounts[i].ID, Limits: quota.Limits{Concurrency: 1}}
		if _, err := m.memory.Reserve(context.Background(), []quota.Account{a}, quota.Cost{}); err != nil {
			t.Fatalf("after all leases are settled: %v", err)
		}
	}
}
