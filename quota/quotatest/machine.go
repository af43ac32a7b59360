package quotatest

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"weir/quota"
)

// machine is a store beside what it should be.
type machine struct {
	*explorer
	accounts []quota.Account
	pots     []pots
	leases   []*loan
}

// pots is the oracle of one account.
type pots struct {
	requests, tokens pot
	purse            purse
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
	spend            coin
}

func (e *explorer) machine(t *rapid.T) *machine {
	e.runs++
	m := &machine{explorer: e}
	for _, id := range []string{"team:a", "key:b"} {
		a := quota.Account{ID: id + strconv.Itoa(e.runs), Group: "g" + strconv.Itoa(e.runs)}
		m.accounts = append(m.accounts, a)
		m.pots = append(m.pots, pots{})
		e.mu.Lock()
		e.before[a.ID] = rapid.SampledFrom([]int64{0, 0, 3, 60}).Draw(t, "spent before")
		e.mu.Unlock()
	}
	for i := range m.accounts {
		m.limit(t, i)
	}
	return m
}

// time returns the time that decides.
func (m *machine) time() time.Time { return m.start.Add(m.now) }

// limit gives account i new limits in the store and the oracle.
func (m *machine) limit(t *rapid.T, i int) {
	rates := rapid.SampledFrom([]int64{0, 1, 7, 60, 100, 100, 6000, 1_000_003})
	bursts := rapid.SampledFrom([]int64{0, 0, 1, 10, 100, 900})
	l := quota.Limits{
		RequestsPerMinute: rates.Draw(t, "requests"), BurstRequests: bursts.Draw(t, "burst of requests"),
		TokensPerMinute: rates.Draw(t, "tokens"), BurstTokens: bursts.Draw(t, "burst of tokens"),
		Concurrency: rapid.SampledFrom([]int64{1, 2, 5, 1000}).Draw(t, "slots"),
		Budget: quota.Budget{
			Amount: rapid.SampledFrom([]int64{0, 0, 1, 100, 5000}).Draw(t, "budget"),
			Period: rapid.SampledFrom([]quota.Period{quota.Month, quota.Day, quota.Day}).Draw(t, "period"),
		},
	}
	m.accounts[i].Limits = l
	p := &m.pots[i]
	p.requests.limit(m.now, l.RequestsPerMinute, l.BurstRequests)
	p.tokens.limit(m.now, l.TokensPerMinute, l.BurstTokens)
	p.purse.limit(l.Budget)
	if _, err := m.look(t, i); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) reload(t *rapid.T) {
	m.limit(t, rapid.IntRange(0, len(m.accounts)-1).Draw(t, "account"))
}

// look returns the levels of account i as the store shows them.
func (m *machine) look(t *rapid.T, i int) (quota.Snapshot, error) {
	m.pots[i].purse.open(m.time(), m.before[m.accounts[i].ID])
	lease, err := m.Limiter.Reserve(t.Context(), m.accounts[i:i+1], quota.Cost{})
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
		got, err := m.look(t, i)
		if err != nil {
			t.Fatal(err)
		}
		m.checkPot(t, fmt.Sprintf("requests of account %d", i), &p.requests, got.Requests)
		m.checkPot(t, fmt.Sprintf("tokens of account %d", i), &p.tokens, got.Tokens)
		if !p.purse.shows(got.Budget, m.accounts[i].ID, m.time()) {
			t.Fatalf("budget of account %d: %+v, want %+v", i, got.Budget, p.purse)
		}
	}
}

func (m *machine) checkPot(t *rapid.T, name string, p *pot, got quota.Level) {
	p.flow(m.now)
	if !p.shows(got) {
		t.Fatalf("%s: %+v, want a level of %v, %v a second up to %v", name, got, p.level, p.perSecond, p.burst)
	}
	slack := p.slack() * float64(2+len(p.events))
	if over := p.excess(); over > slack {
		t.Fatalf("%s: %v over the bound", name, over)
	}
	if len(p.events) == 0 {
		return
	}
	since := (m.now - p.events[0].at).Seconds()
	if most := p.burst + p.perSecond*since + p.over; p.used > most+slack {
		t.Fatalf("%s: %v used in %v s, want at most %v", name, p.used, since, most)
	}
}

func (m *machine) advance(t *rapid.T) {
	d := rapid.OneOf(
		rapid.Int64Range(0, int64(5*time.Second)),
		rapid.Int64Range(0, int64(time.Millisecond)),
		rapid.Int64Range(int64(-time.Hour), int64(2*time.Hour)),
		rapid.Int64Range(int64(-time.Second), 0),
	).Draw(t, "nanoseconds")
	if m.Steady && d < 0 {
		d = -d
	}
	m.move(time.Duration(d).Truncate(max(m.Grain, 1)))
}

func (m *machine) move(d time.Duration) {
	m.Advance(d)
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
		Spend:    rapid.Int64Range(0, most(l.Budget.Amount, 0)).Draw(t, "spend"),
		Further:  rapid.IntRange(0, 3).Draw(t, "further") == 0,
	}
}

// try reserves and fails if the oracle decides otherwise.
func (m *machine) try(t *rapid.T, who []int, cost quota.Cost) *quota.ExceededError {
	accounts := make([]quota.Account, 0, len(who))
	for _, i := range who {
		accounts = append(accounts, m.accounts[i])
	}
	want := m.judge(who, cost)
	lease, err := m.Limiter.Reserve(t.Context(), accounts, cost)
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
		if !cost.Further {
			p.open++
		}
		l.from = append(l.from, part{i, p.requests.take(cost.Requests), p.tokens.take(cost.Tokens), p.purse.take(cost.Spend)})
	}
	m.leases = append(m.leases, l)
	return nil
}

// retry obeys a refusal's wait, after it was not obeyed.
func (m *machine) retry(t *rapid.T) {
	who, cost := m.draw(t)
	no := m.try(t, who, cost)
	if no == nil || no.Permanent || m.raw < m.now {
		return
	}
	if v := m.judge(who, cost); v.slots || v.broke {
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
	if no := m.try(t, who, cost); no != nil && !m.judge(who, cost).broke {
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
	m.end(l, quota.Cost{Requests: about(l.cost.Requests, "requests"), Tokens: about(l.cost.Tokens, "tokens"), Spend: about(l.cost.Spend, "spend")})
	if rapid.Bool().Draw(t, "again") {
		l.lease.Settle(quota.Cost{Requests: 3, Tokens: 3, Spend: 3})
	}
	m.leases = append(m.leases[:i], m.leases[i+1:]...)
}

func (m *machine) end(l *loan, actual quota.Cost) {
	l.lease.Settle(actual)
	for _, f := range l.from {
		p := &m.pots[f.account]
		if !l.cost.Further {
			p.open--
		}
		p.requests.settle(m.now, l.cost.Requests, actual.Requests, f.requests)
		p.tokens.settle(m.now, l.cost.Tokens, actual.Tokens, f.tokens)
		p.purse.settle(l.cost.Spend, actual.Spend, f.spend)
	}
}

// drain settles what is left: no slot may stay taken.
func (m *machine) drain(t *rapid.T) {
	for _, l := range m.leases {
		m.end(l, l.cost)
	}
	m.check(t)
	for i := range m.accounts {
		a := quota.Account{ID: m.accounts[i].ID, Group: m.accounts[i].Group, Limits: quota.Limits{Concurrency: 1}}
		if _, err := m.Limiter.Reserve(t.Context(), []quota.Account{a}, quota.Cost{}); err != nil {
			t.Fatalf("after all leases are settled: %v", err)
		}
	}
}
