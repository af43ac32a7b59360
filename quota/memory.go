package quota

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var _ Limiter = (*Memory)(nil)

// slotWait is the wait told where no slot of concurrency is free.
const slotWait = time.Second

// idle is how long an account is kept unused, lest a steady trickle of
// requests makes it anew each time.
const idle = 10 * time.Second

// MemoryConfig is what a Memory needs.
type MemoryConfig struct {
	// Now is the clock; nil means time.Now. It is called under a lock, so it
	// must not call the Memory. A clock that goes back stands still until it
	// has caught up.
	Now func() time.Time

	// Spent tells what was spent before this process began; nil: nothing was.
	Spent Spent
}

// Memory is a Limiter in the memory of this process. Accounts that are idle
// and full are forgotten by and by, so its size follows those in use.
type Memory struct {
	clock func() time.Time
	spent Spent

	mu       sync.Mutex
	now      time.Time // the latest time seen
	accounts map[string]*account
	order    []*account // the same accounts, to look for idle ones in turn
	next     int        // where in order to look next
	size     int        // length of order after the last look
}

// account is the state of one Account.
type account struct {
	id       string
	limits   Limits
	requests bucket
	tokens   bucket
	purse    purse
	leases   int64     // not yet settled
	open     int64     // those of them that have a slot
	used     time.Time // when it was last asked for
}

// NewMemory returns a Memory in which every account is full.
func NewMemory(cfg MemoryConfig) *Memory {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Memory{clock: cfg.Now, spent: cfg.Spent, accounts: make(map[string]*account)}
}

// Reserve implements Limiter. It looks at ctx once, and blocks only to learn what
// was spent in a budget's window that is new.
func (m *Memory) Reserve(ctx context.Context, accounts []Account, cost Cost) (*Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("quota: reserving: %w", err)
	}
	if err := check(accounts, cost); err != nil {
		return nil, fmt.Errorf("quota: reserving: %w", err)
	}
	cost = cost.clamped()

	m.mu.Lock()
	defer m.mu.Unlock()
	now, err := m.openPurses(ctx, accounts)
	if err != nil {
		return nil, fmt.Errorf("quota: reserving: %w", err)
	}
	m.forget(now)
	var some [4]*account
	held := some[:0]
	for _, a := range accounts {
		if a.Limits.limited() {
			held = append(held, m.account(now, a))
		}
	}

	var no refusal
	for _, a := range held {
		no.ask(now, a, cost)
	}
	if no.refused {
		no.err.Snapshot = snapshot(now, held)
		err := no.err
		return nil, &err
	}
	return m.take(now, held, cost), nil
}

// openPurses makes sure that it is known what was spent in the present window of
// every budget, and returns the time that this holds at. The caller holds mu,
// which is given up while the ledger is asked.
func (m *Memory) openPurses(ctx context.Context, accounts []Account) (time.Time, error) {
	now := m.tick()
	for i := 0; i < len(accounts); i++ {
		a := accounts[i]
		if a.Limits.Budget.Amount == 0 {
			continue
		}
		p := &m.account(now, a).purse
		if p.opened(now) {
			continue
		}
		from, _ := p.budget.Window(now)
		spent, err := m.ask(ctx, a.ID, from)
		if err != nil {
			return now, fmt.Errorf("what %s has spent is not known: %w", a.ID, err)
		}
		now = m.tick()
		p = &m.account(now, a).purse // of the same account, or of a new one of its name
		if first, _ := p.budget.Window(now); !p.opened(now) && first.Equal(from) {
			p.open(now, spent)
		}
		i = -1 // another window may have begun meanwhile
	}
	return now, nil
}

// ask returns what the ledger knows. The caller holds mu, and again afterwards.
func (m *Memory) ask(ctx context.Context, account string, from time.Time) (int64, error) {
	if m.spent == nil {
		return 0, nil
	}
	m.mu.Unlock()
	defer m.mu.Lock()
	return m.spent(ctx, account, from)
}

// Counted returns the accounts that have a limit and the cost in amounts that
// a float counts exactly, or what is wrong with the arguments of Reserve. It is
// for stores elsewhere.
func Counted(accounts []Account, cost Cost) ([]Account, Cost, error) {
	if err := check(accounts, cost); err != nil {
		return nil, Cost{}, err
	}
	var held []Account
	for _, a := range accounts {
		if a.Limits.limited() {
			held = append(held, a)
		}
	}
	return held, cost.clamped(), nil
}

// check returns what is wrong with the arguments of Reserve.
func check(accounts []Account, cost Cost) error {
	if min(cost.Requests, cost.Tokens, cost.Spend) < 0 {
		return errors.New("negative cost")
	}
	for i, a := range accounts {
		if a.Limits.negative() {
			return fmt.Errorf("account %s: negative limit", a.ID)
		}
		for _, b := range accounts[:i] {
			if a.ID == b.ID {
				return fmt.Errorf("account %s is named twice", a.ID)
			}
		}
	}
	return nil
}

// tick returns the time, which never goes back. The caller holds mu.
func (m *Memory) tick() time.Time {
	if t := m.clock(); t.After(m.now) {
		m.now = t
	}
	return m.now
}

// account returns the state of a with its present limits. The caller holds mu.
func (m *Memory) account(now time.Time, a Account) *account {
	s := m.accounts[a.ID]
	if s == nil {
		s = &account{id: a.ID}
		m.accounts[a.ID] = s
		m.order = append(m.order, s)
	}
	s.used = now
	if s.limits != a.Limits {
		s.limits = a.Limits
		s.requests.configure(now, a.Limits.RequestsPerMinute, a.Limits.BurstRequests)
		s.tokens.configure(now, a.Limits.TokensPerMinute, a.Limits.BurstTokens)
		s.purse.configure(now, a.Limits.Budget)
	}
	return s
}

// forget looks at a few accounts and drops those that are as good as new.
// Two looks for each account that was added keep up with any growth. The
// caller holds mu and no account that no lease is of.
func (m *Memory) forget(now time.Time) {
	looks := 1 + 2*(len(m.order)-m.size)
	for ; looks > 0 && len(m.order) > 0; looks-- {
		m.next %= len(m.order)
		a := m.order[m.next]
		if a.leases > 0 || now.Sub(a.used) < idle || !a.requests.full(now) || !a.tokens.full(now) || !a.purse.idle(now) {
			m.next++
			continue
		}
		delete(m.accounts, a.id)
		last := len(m.order) - 1
		m.order[m.next], m.order[last] = m.order[last], nil
		m.order = m.order[:last]
	}
	m.size = len(m.order)
}
