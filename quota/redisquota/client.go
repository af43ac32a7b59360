package redisquota

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

//go:embed account.lua
var accountLua string

//go:embed reserve.lua
var reserveLua string

//go:embed settle.lua
var settleLua string

//go:embed renew.lua
var renewLua string

// clockOfRedis is how the scripts tell the time.
const clockOfRedis = "redis.call('TIME')"

// errAway is the error of a round trip that came to nothing.
var errAway = errors.New("redisquota: Redis cannot be reached")

// scripts loads the scripts with another clock.
func (l *Limiter) scripts(clock string) {
	shared := strings.ReplaceAll(accountLua, clockOfRedis, clock)
	l.reserving = redis.NewScript(shared + reserveLua)
	l.settling = redis.NewScript(shared + settleLua)
	l.renewing = redis.NewScript(shared + renewLua)
}

// prefix returns what the names of a process's leases begin with.
func prefix() string { return rand.Text()[:16] + "." }

// dial returns a client of what a URL names, which connects when it must. It
// never tries twice: whoever asks has no time for it.
func dial(from string, timeout time.Duration) (redis.UniversalClient, error) {
	one, err := parse(from)
	if err != nil {
		return nil, err
	}
	logging.Disable() // it writes to stderr past every logger, a line for each attempt to connect
	o := &redis.UniversalOptions{
		Addrs: append([]string{one.Addr}, one.nodes...), DB: one.DB,
		Username: one.Username, Password: one.Password, TLSConfig: one.TLSConfig,
		MasterName: one.master, IsClusterMode: one.cluster(),

		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           timeout * 4 / 5,
		ReadTimeout:           timeout,
		WriteTimeout:          timeout,
		PoolTimeout:           timeout,
		PoolSize:              one.PoolSize,
		MinIdleConns:          one.MinIdleConns,
		DisableIdentity:       true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
	if o.TLSConfig != nil && len(one.nodes) > 0 {
		// Each node has its own name.
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if one.Network == "unix" {
		path := one.Addr
		o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: timeout}
			return d.DialContext(ctx, "unix", path)
		}
	}
	return redis.NewUniversalClient(o), nil
}

// place is what a URL names.
type place struct {
	*redis.Options          // of the first node
	nodes          []string // the others
	master         string   // as sentinels call it; empty: they are none
}

// cluster reports whether the nodes are a cluster.
func (p place) cluster() bool { return len(p.nodes) > 0 && p.master == "" }

// parse reads a URL. What it does not know it refuses.
func parse(from string) (place, error) {
	u, err := url.Parse(from)
	if err != nil {
		return place{}, errors.New("the URL of Redis cannot be read") // url.Error would show its password
	}
	query := u.Query()
	for name := range query {
		if !slices.Contains([]string{"addr", "master_name", "db", "pool_size", "min_idle_conns"}, name) {
			return place{}, fmt.Errorf("the URL of Redis has an option %q, which is not known", name)
		}
	}
	p := place{nodes: query["addr"], master: query.Get("master_name")}
	query.Del("addr")
	query.Del("master_name")
	u.RawQuery = query.Encode()
	if p.Options, err = redis.ParseURL(u.String()); err != nil {
		return place{}, fmt.Errorf("the URL of Redis: %w", err)
	}
	if p.cluster() && p.DB != 0 {
		return place{}, errors.New("the URL of Redis names a database, of which a cluster has one")
	}
	return p, nil
}

// run runs a script in one round trip, or two where Redis does not know it yet.
// An error is errAway, or the caller's own where ctx is done.
func (l *Limiter) run(ctx context.Context, s *redis.Script, keys []string, args []any) (any, error) {
	inner, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	began := time.Now()
	reply, err := s.Run(inner, l.client, keys, args...).Result()
	took := time.Since(began)
	if l.cfg.Observe != nil {
		l.cfg.Observe(ctx, l.called(s), took, err != nil && ctx.Err() == nil)
	}
	if err == nil {
		l.health.well(took)
		return reply, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("redisquota: %w", ctx.Err())
	}
	l.fail(time.Now(), err)
	return nil, fmt.Errorf("%w: %w", errAway, err)
}

// called returns what a script does.
func (l *Limiter) called(s *redis.Script) string {
	switch s {
	case l.reserving:
		return "reserve"
	case l.settling:
		return "settle"
	default:
		return "renew"
	}
}
