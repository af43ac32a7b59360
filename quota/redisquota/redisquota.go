// Package redisquota is a quota.Limiter that replicas share: the allowances are
// in Redis, and each reservation is one atomic round trip to it.
//
// Redis's clock alone decides, and its scripts take all of a reservation or
// nothing. While Redis is away nobody waits for it: each account does as its
// Away says, and what was used meanwhile is charged when Redis is back.
package redisquota

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"weir/quota"
)

var _ quota.Limiter = (*Limiter)(nil)

// Config is what a Limiter needs.
type Config struct {
	// URL is where Redis is: redis://, rediss:// (TLS) or unix://, with user,
	// password and number of the database. With addr=host:port in its query,
	// once for each further node, it is a cluster; with master_name as well,
	// the nodes are sentinels.
	URL string

	Replicas int           // how many processes share the limits; 0: one
	Spent    quota.Spent   // what was spent before Redis counted; nil: nothing was
	TTL      time.Duration // how long the leases of a killed process last; 0: 30 s
	Timeout  time.Duration // the longest a round trip may take; 0: 25 ms
	Slice    Slice         // what a process leases ahead for teams that are hot
	Log      *slog.Logger  // told when Redis goes and comes back; nil: nobody is

	// Observe is told of each round trip: reserve, settle or renew, how long it took
	// and whether it came to nothing. Nil: nobody is.
	Observe func(ctx context.Context, what string, took time.Duration, failed bool)

	clock string // how the scripts tell the time; empty: as Redis does
}

// Limiter is a quota.Limiter in Redis. It is safe for concurrent use.
type Limiter struct {
	cfg    Config
	client redis.UniversalClient
	log    *slog.Logger

	reserving, settling, renewing *redis.Script

	prefix string        // of the leases' names: no other process has it
	last   atomic.Uint64 // the number of the latest lease
	ahead  atomic.Int64  // of Redis's clock before ours, in nanoseconds

	health health
	ledger ledger
	sights sights
	local  local
	debts  debts
	slicer slicer
	flying atomic.Int64 // settlements on their way behind answers

	mu   sync.Mutex
	open map[string]*lease // in Redis, to be renewed

	settlers sync.WaitGroup // settlements on their way
	stop     context.CancelFunc
	done     chan struct{}
}

// New returns a Limiter, which need not reach Redis yet. What it does in the
// background ends with ctx or Close.
func New(ctx context.Context, cfg Config) (*Limiter, error) {
	cfg.Replicas = max(cfg.Replicas, 1)
	if cfg.TTL <= 0 {
		cfg.TTL = 30 * time.Second
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 25 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Slice = cfg.Slice.withDefaults()
	client, err := dial(cfg.URL, cfg.Timeout)
	if err != nil {
		return nil, fmt.Errorf("redisquota: %w", err)
	}
	l := &Limiter{
		cfg: cfg, client: client, log: cfg.Log, prefix: prefix(),
		open: make(map[string]*lease), done: make(chan struct{}),
	}
	l.scripts(cmp.Or(cfg.clock, clockOfRedis))
	l.ledger.known = make(map[string]book)
	l.sights.of = make(map[string]sight)
	l.local.start(l.now, l.share)
	l.debts.owed = make(map[owing]*owed)
	l.slicer.start(cfg.Slice)
	ctx, l.stop = context.WithCancel(ctx)
	go l.keep(ctx)
	return l, nil
}

// Close settles what can still be settled and ends what New started. Leases that
// are open expire.
func (l *Limiter) Close() error {
	l.settlers.Wait()
	l.stop()
	<-l.done
	if err := l.client.Close(); err != nil {
		return fmt.Errorf("redisquota: closing: %w", err)
	}
	return nil
}

// Reserve implements quota.Limiter. It takes one round trip, and a second one
// where a budget's window is new.
func (l *Limiter) Reserve(ctx context.Context, accounts []quota.Account, cost quota.Cost) (*quota.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("redisquota: reserving: %w", err)
	}
	held, cost, err := quota.Counted(accounts, cost)
	if err != nil {
		return nil, fmt.Errorf("redisquota: reserving: %w", err)
	}
	if len(held) == 0 {
		return quota.NewLease(quota.Snapshot{}, nil), nil
	}
	for _, a := range held {
		if a.Group != held[0].Group {
			return nil, fmt.Errorf("redisquota: reserving: accounts of the groups %q and %q", held[0].Group, a.Group)
		}
	}
	if l.health.away() {
		return l.alone(ctx, held, cost)
	}
	lease, err := l.slicer.reserve(ctx, l, held, cost)
	if lease == nil && err == nil {
		lease, err = l.reserve(ctx, held, cost)
	}
	if errors.Is(err, errAway) && ctx.Err() == nil {
		l.health.paid.Add(1)
		return l.alone(ctx, held, cost)
	}
	return lease, err
}

// reserve reserves in Redis.
func (l *Limiter) reserve(ctx context.Context, held []quota.Account, cost quota.Cost) (*quota.Lease, error) {
	t := l.lease(held, cost, slotsOf(cost))
	d, err := l.decide(ctx, t)
	if err != nil {
		return nil, err
	}
	if !d.admitted {
		return nil, d.refusal(cost, t.slots)
	}
	l.hold(t)
	return quota.NewLease(d.snapshot(), func(actual quota.Cost) {
		l.settle(ctx, settlement{lease: t, used: actual})
	}), nil
}

// decide asks Redis until it knows the window of each budget.
func (l *Limiter) decide(ctx context.Context, t *lease) (decision, error) {
	const most = 5 // a window that ends meanwhile, and a clock that was not ours
	defer l.ledger.looked(t)
	for range most {
		asked := time.Now()
		d, err := l.ask(ctx, t)
		if err != nil {
			return decision{}, err
		}
		switch d.status {
		case "admitted", "refused":
			l.ledger.learn(t, d)
			l.sights.learn(t, d)
			return d, nil
		case "unknown":
			if err := l.look(ctx, t, d.unknown, asked); err != nil {
				return decision{}, fmt.Errorf("redisquota: reserving: %w", err)
			}
		case "clock":
			t.windows(l.now())
		default:
			return decision{}, fmt.Errorf("redisquota: reserving: Redis answers %q", d.status)
		}
	}
	return decision{}, errors.New("redisquota: reserving: the window of a budget does not stand still")
}

// now returns Redis's time, as near as the last round trip.
func (l *Limiter) now() time.Time {
	return time.Now().Add(time.Duration(l.ahead.Load()))
}
