package redisquota

import (
	"context"
	"errors"

	"weir/quota"
)

// Virtual returns cfg with scripts that read the time, in microseconds, from a key
// instead of Redis's clock: they are the same otherwise.
func Virtual(cfg Config, key string) Config {
	cfg.clock = "{ 0, redis.call('GET', '" + key + "') }"
	return cfg
}

// GiveUpThenAsk gives up a reservation that comes to Redis only then, and returns
// what became of it.
func (l *Limiter) GiveUpThenAsk(ctx context.Context, accounts []quota.Account, cost quota.Cost) (string, error) {
	t := l.lease(accounts, cost, 1)
	s := settlement{lease: t, how: cancel, first: 1, known: l.ledger.openers(t, false)}
	if err := l.send(ctx, []settlement{s}); err != nil {
		return "", err
	}
	d, err := l.ask(ctx, t)
	return d.status, err
}

// AskThenGiveUp gives up a reservation of whose answer nobody heard.
func (l *Limiter) AskThenGiveUp(ctx context.Context, accounts []quota.Account, cost quota.Cost) (string, error) {
	t := l.lease(accounts, cost, 1)
	d, err := l.ask(ctx, t)
	s := settlement{lease: t, how: cancel, first: 1, known: l.ledger.openers(t, false)}
	return d.status, errors.Join(err, l.send(ctx, []settlement{s}), l.send(ctx, []settlement{s}))
}

// ChargeTwice tells Redis twice of the same use without it.
func (l *Limiter) ChargeTwice(ctx context.Context, account quota.Account, used quota.Cost) error {
	t := l.lease([]quota.Account{account}, quota.Cost{}, 1)
	e := &owed{hold: t.holds[0], named: t.id} // unknown to the keeper
	e.add(used, quota.Cost{})
	_, _, first := l.charge(ctx, e, l.opener(e))
	_, _, second := l.charge(ctx, e, l.opener(e))
	return errors.Join(first, second)
}
