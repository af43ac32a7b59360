package redisquota

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"weir/quota"
)

// slotWait is the wait told where no slot of concurrency is free.
const slotWait = time.Second

// decision is what a script said to a reservation.
type decision struct {
	status   string
	admitted bool
	now      time.Time // Redis's
	unknown  []int     // accounts whose window is new
	states   []state
}

// state is what an account has after the decision.
type state struct {
	*hold
	requests, tokens level
	open             int64
	used             int64 // of the budget
	opener           string
}

// level is an allowance at a moment. The zero value is none.
type level struct {
	limit
	left float64
}

// ask runs reserve.lua once.
func (l *Limiter) ask(ctx context.Context, t *lease) (decision, error) {
	began := time.Now()
	reply, err := l.run(ctx, l.reserving, t.names(), t.asking(l.cfg.TTL))
	if err != nil {
		l.cancel(t) // it may have come to Redis, or be on its way
		return decision{}, err
	}
	d, err := read(t, reply)
	if err != nil {
		l.cancel(t)
		return decision{}, fmt.Errorf("redisquota: reserving: %w", err)
	}
	l.ahead.Store(int64(d.now.Sub(began.Add(time.Since(began) / 2))))
	return d, nil
}

// read reads the reply of reserve.lua.
func read(t *lease, reply any) (decision, error) {
	fields, _ := reply.([]any)
	if len(fields) < 2 {
		return decision{}, fmt.Errorf("the answer %v is none", reply)
	}
	micros, _ := fields[1].(int64)
	d := decision{now: time.UnixMicro(micros)}
	d.status, _ = fields[0].(string)
	fields = fields[2:]
	switch {
	case d.status == "unknown":
		for i, f := range fields {
			if f == int64(1) {
				d.unknown = append(d.unknown, i)
			}
		}
		return d, nil
	case d.status != "admitted" && d.status != "refused":
		return d, nil
	case len(fields) != 5*len(t.holds):
		return decision{}, errors.New("the answer is of other accounts")
	}
	d.admitted = d.status == "admitted"
	for i := range t.holds {
		s, err := readState(&t.holds[i], fields[5*i:5*i+5])
		if err != nil {
			return decision{}, err
		}
		d.states = append(d.states, s)
	}
	return d, nil
}

func readState(h *hold, fields []any) (state, error) {
	s := state{hold: h}
	var wrong error
	number := func(f any, of limit) level {
		text, _ := f.(string)
		if of == (limit{}) {
			return level{}
		}
		left, err := strconv.ParseFloat(text, 64)
		wrong = errors.Join(wrong, err)
		return level{of, left}
	}
	s.requests, s.tokens = number(fields[0], h.requests), number(fields[1], h.tokens)
	s.open, _ = fields[2].(int64)
	text, _ := fields[3].(string)
	used, err := strconv.ParseInt(text, 10, 64)
	s.used = used
	s.opener, _ = fields[4].(string)
	return s, errors.Join(wrong, err)
}

// short returns how many milliseconds until n is there, rounded up such that
// waiting for so long is enough.
func (v level) short(n int64) time.Duration {
	if v.limit == (limit{}) || !v.lacks(n, v.left) {
		return 0
	}
	ms := math.Ceil((float64(n) - v.left) * 60000 / float64(v.perMinute))
	if ms >= math.MaxInt64/2/1e6 {
		return time.Duration(math.MaxInt64/2/1_000_000) * time.Millisecond
	}
	if v.lacks(n, v.left+ms*1000*float64(v.perMinute)/6e7) {
		ms++
	}
	return time.Duration(ms) * time.Millisecond
}

// lacks is as in account.lua.
func (v level) lacks(n int64, left float64) bool {
	return float64(n) > left+float64(v.burst)*1e-14
}

// remaining returns the most that is admitted now.
func (v level) remaining() int64 {
	return max(0, int64(math.Floor(math.Min(v.left+float64(v.burst)*1e-14, float64(v.burst)))))
}

func (v level) snapshot(account string) quota.Level {
	return quota.Level{Account: account, Limit: v.perMinute, Remaining: v.remaining(), Reset: v.short(v.burst)}
}

// snapshot returns the binding levels.
func (d decision) snapshot() quota.Snapshot {
	var s quota.Snapshot
	requests, tokens, budget := 2.0, 2.0, 2.0 // the least fraction yet: more than a full one's
	for _, a := range d.states {
		if f := a.requests.left / float64(a.requests.burst); f < requests { // NaN is not
			requests, s.Requests = f, a.requests.snapshot(a.ID)
		}
		if f := a.tokens.left / float64(a.tokens.burst); f < tokens {
			tokens, s.Tokens = f, a.tokens.snapshot(a.ID)
		}
		amount := min(a.Limits.Budget.Amount, most)
		if amount == 0 {
			continue
		}
		if f := float64(amount-a.used) / float64(amount); f < budget {
			budget = f
			s.Budget = quota.Level{Account: a.ID, Limit: amount, Remaining: max(0, amount-a.used), Reset: untilNext(d.now, a.until)}
		}
	}
	return s
}

// untilNext returns how long it is from now until the window of a budget ends, in
// whole milliseconds.
func untilNext(now, until time.Time) time.Duration {
	return (until.Sub(now) + time.Millisecond - 1).Truncate(time.Millisecond)
}

// refusal returns the worst of what refuses a cost and so many slots.
func (d decision) refusal(cost quota.Cost, slots int64) error {
	var all []quota.ExceededError
	for _, a := range d.states {
		e := quota.ExceededError{Account: a.ID}
		all = a.requests.refuse(all, e, quota.Requests, cost.Requests)
		all = a.tokens.refuse(all, e, quota.Tokens, cost.Tokens)
		if most := a.Limits.Concurrency; most > 0 && slots > 0 && a.open+slots > most {
			e.Dimension, e.Limit, e.Need, e.Wait = quota.Concurrency, most, slots, slotWait
			all = append(all, e)
		}
		all = d.refuseSpend(all, a, cost.Spend)
	}
	if len(all) == 0 {
		return fmt.Errorf("redisquota: reserving: Redis refused what its levels admit: %+v", cost)
	}
	worst := all[0]
	for _, e := range all[1:] {
		if !worst.Permanent && (e.Permanent || e.Wait > worst.Wait) {
			worst = e
		}
	}
	worst.Snapshot = d.snapshot()
	return &worst
}

// refuse completes and adds e if the level does not admit n.
func (v level) refuse(all []quota.ExceededError, e quota.ExceededError, what quota.Dimension, n int64) []quota.ExceededError {
	if v.limit == (limit{}) || !v.lacks(n, v.left) {
		return all
	}
	e.Dimension, e.Need, e.Remaining, e.Limit = what, n, v.remaining(), v.perMinute
	if n > v.burst {
		e.Permanent, e.Limit = true, v.burst
	} else {
		e.Wait = v.short(n)
	}
	return append(all, e)
}

func (d decision) refuseSpend(all []quota.ExceededError, a state, spend int64) []quota.ExceededError {
	amount := min(a.Limits.Budget.Amount, most)
	if amount == 0 || spend <= amount-a.used {
		return all
	}
	e := quota.ExceededError{Account: a.ID, Dimension: quota.Spend, Limit: amount, Need: spend, Remaining: max(0, amount-a.used)}
	if spend > amount {
		e.Permanent = true
	} else {
		e.Wait = untilNext(d.now, a.until)
	}
	return append(all, e)
}
