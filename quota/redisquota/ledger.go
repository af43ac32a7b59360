package redisquota

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"weir/quota"
)

// ledger is what this process knows of the budgets in Redis.
type ledger struct {
	mu    sync.Mutex
	known map[string]book // by account
	asked map[asking]*answer
}

// book is a budget as Redis last told it.
type book struct {
	window string
	until  time.Time
	used   int64
	opener string
	at     time.Time // when it was told
}

// asking is a question to the ledger of all requests, which is put once.
type asking struct{ account, window string }

type answer struct {
	done  chan struct{}
	spent int64
	err   error
}

// learn remembers the budgets of a decision.
func (g *ledger) learn(t *lease, d decision) {
	for i, s := range d.states {
		if s.Limits.Budget.Amount == 0 {
			continue
		}
		t.holds[i].opener = s.opener
		g.mu.Lock()
		g.known[s.ID] = book{s.window(), s.until, s.used, s.opener, time.Now()}
		g.mu.Unlock()
	}
}

// book returns what is known of an account in a window.
func (g *ledger) book(account, window string) (book, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.known[account]
	return b, ok && b.window == window
}

// forget drops what is known of windows that are over.
func (g *ledger) forget(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, b := range g.known {
		if !now.Before(b.until) {
			delete(g.known, id)
		}
	}
}

// openers returns who is known to have opened the window of each budget of a
// lease; whoever it was, if any will do.
func (g *ledger) openers(t *lease, anyone bool) []string {
	names := make([]string, len(t.holds))
	for i := range t.holds {
		h := &t.holds[i]
		if anyone {
			names[i] = "*"
		} else if b, ok := g.book(h.ID, h.window()); ok {
			names[i] = b.opener
		}
	}
	return names
}

// look finds out what the accounts have spent whose windows Redis did not know
// at a time, unless it was told meanwhile.
func (l *Limiter) look(ctx context.Context, t *lease, accounts []int, asked time.Time) error {
	for _, i := range accounts {
		h := &t.holds[i]
		if b, ok := l.ledger.book(h.ID, h.window()); ok && b.at.After(asked) {
			continue
		}
		spent, err := l.spent(ctx, h.ID, h.from, h.window())
		if err != nil {
			return fmt.Errorf("what %s has spent is not known: %w", h.ID, err)
		}
		h.spent = strconv.FormatInt(spent, 10)
	}
	return nil
}

// looked forgets the answers that a lease has used, which Redis knows now.
func (g *ledger) looked(t *lease) {
	for i := range t.holds {
		if h := &t.holds[i]; h.spent != "" {
			g.mu.Lock()
			delete(g.asked, asking{h.ID, h.window()})
			g.mu.Unlock()
		}
	}
}

// spent asks what an account has spent since a window began. However many ask
// until Redis knows it, the question is put once, and outlives whoever put it.
func (l *Limiter) spent(ctx context.Context, account string, from time.Time, window string) (int64, error) {
	if l.cfg.Spent == nil {
		return 0, nil
	}
	q := asking{account, window}
	l.ledger.mu.Lock()
	a := l.ledger.asked[q]
	if a == nil {
		a = &answer{done: make(chan struct{})}
		if l.ledger.asked == nil {
			l.ledger.asked = make(map[asking]*answer)
		}
		l.ledger.asked[q] = a
		go l.put(context.WithoutCancel(ctx), q, from, a)
	}
	l.ledger.mu.Unlock()
	select {
	case <-a.done:
		return a.spent, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// put puts a question and tells all who wait for the answer.
func (l *Limiter) put(ctx context.Context, q asking, from time.Time, a *answer) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	spent, err := l.cfg.Spent(ctx, q.account, from)
	a.spent, a.err = min(max(spent, 0), most), err
	if err != nil {
		l.ledger.mu.Lock()
		delete(l.ledger.asked, q)
		l.ledger.mu.Unlock()
	}
	close(a.done)
}

// share is the Spent of a budget while Redis is away: all is gone but this
// process's share of what was left when Redis was last heard.
func (l *Limiter) share(ctx context.Context, a quota.Account, from time.Time) (int64, error) {
	h := hold{Account: a}
	h.from, h.until = a.Limits.Budget.Window(from)
	b, ok := l.ledger.book(a.ID, h.window())
	if !ok {
		spent, err := l.spent(ctx, a.ID, from, h.window())
		if err != nil {
			return 0, err
		}
		b = l.ledger.assume(a.ID, book{window: h.window(), until: h.until, used: spent})
	}
	amount := min(a.Limits.Budget.Amount, most)
	left := max(0, amount-b.used) / int64(l.cfg.Replicas)
	return amount - left, nil
}

// assume remembers what the ledger of all requests has told while Redis is away.
func (g *ledger) assume(account string, b book) book {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.asked, asking{account, b.window})
	if known, ok := g.known[account]; ok && known.window == b.window {
		return known
	}
	g.known[account] = b
	return b
}

// add notes what Redis was told of an account.
func (g *ledger) add(account, window string, spent int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b, ok := g.known[account]; ok && b.window == window {
		b.used = max(0, b.used+spent)
		g.known[account] = b
	}
}
