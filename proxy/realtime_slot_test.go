package proxy_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"weir/proxy"
	"weir/quota"
)

// eager is a Limiter before which somebody else always waits for a slot.
type eager struct {
	quota.Limiter
	waits atomic.Bool
	took  atomic.Int64 // slots that somebody else has got
}

func (e *eager) Reserve(ctx context.Context, accounts []quota.Account, cost quota.Cost) (*quota.Lease, error) {
	if e.waits.Load() {
		if _, err := e.Limiter.Reserve(ctx, accounts, quota.Cost{}); err == nil {
			e.took.Add(1)
		}
	}
	return e.Limiter.Reserve(ctx, accounts, cost)
}

// TestRealtimeKeepsItsSlot holds that a session has its slot all the while, however
// often the configuration is read again: who waits for one does not get it.
func TestRealtimeKeepsItsSlot(t *testing.T) {
	t.Parallel()
	limits := func(concurrency, tokens int64) proxy.Allowance {
		return proxy.Allowance{Limits: quota.Limits{Concurrency: concurrency, TokensPerMinute: tokens}}
	}
	for name, after := range map[string]proxy.Allowance{
		"the same limits": limits(1, 0),
		"another one":     limits(1, 1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				limiter := &eager{Limiter: quota.NewMemory(quota.MemoryConfig{})}
				cfg := func(own proxy.Allowance) proxy.Config {
					return proxy.Config{
						Models: map[string]proxy.Model{"m": {Name: "m", Counter: flat{}, Places: map[string]string{"": ""}}}, Names: proxy.Names{Models: map[string]string{"m": "m"}},
						Teams: map[string]proxy.Team{"t": {Name: "t", Own: own}}, Limiter: limiter, MaxBody: 1 << 20,
					}
				}
				next := proxy.New(cfg(after))
				conn := session(t, cfg(limits(1, 0)), func(begun *proxy.Gateway) *proxy.Gateway {
					if limiter.waits.Load() {
						return next
					}
					return begun
				})
				synctest.Wait()
				limiter.waits.Store(true)
				if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"response.create"}`)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if n := limiter.took.Load(); n > 0 {
					t.Errorf("somebody else has got %d slots of one that is taken", n)
				}
			})
		})
	}
}
