package quota_test

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/quota"
	"weir/quota/quotatest"
)

// clock is a time that moves when told to, forwards or backwards.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestMemoryIsALimiter(t *testing.T) {
	t.Parallel()
	quotatest.Run(t, func(_ *testing.T, spent quota.Spent) quotatest.Store {
		c := newClock()
		return quotatest.Store{Limiter: quota.NewMemory(quota.MemoryConfig{Now: c.Now, Spent: spent}), Advance: c.Advance, Now: c.Now}
	})
}

// TestMemoryBearsAClockThatRuns runs the suite on a clock that moves with
// each look at it, as a clock elsewhere does: it holds the suite's tolerance.
func TestMemoryBearsAClockThatRuns(t *testing.T) {
	t.Parallel()
	const resolution = 25 * time.Millisecond
	quotatest.Run(t, func(_ *testing.T, spent quota.Spent) quotatest.Store {
		c := newClock()
		ahead := time.Duration(0) // guarded by the limiter, which calls Now under its lock
		now := func() time.Time {
			ahead += (resolution - ahead) / 50
			return c.Now().Add(ahead)
		}
		return quotatest.Store{
			Limiter: quota.NewMemory(quota.MemoryConfig{Now: now, Spent: spent}), Advance: c.Advance, Resolution: resolution, Now: c.Now,
		}
	})
}

func TestMemoryReadsTheTimeByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := quota.NewMemory(quota.MemoryConfig{})
		a := []quota.Account{{ID: "team:a", Limits: quota.Limits{TokensPerMinute: 60, RequestsPerMinute: 7}}}
		lease, err := m.Reserve(t.Context(), a, quota.Cost{Requests: 7, Tokens: 60})
		if err != nil {
			t.Fatal(err)
		}
		want := quota.Snapshot{
			Requests: quota.Level{Account: "team:a", Limit: 7, Reset: time.Minute},
			Tokens:   quota.Level{Account: "team:a", Limit: 60, Reset: time.Minute},
		}
		if diff := cmp.Diff(want, lease.Snapshot()); diff != "" {
			t.Errorf("Snapshot (-want +got):\n%s", diff)
		}

		_, err = m.Reserve(t.Context(), a, quota.Cost{Requests: 1, Tokens: 30})
		no, ok := errors.AsType[*quota.ExceededError](err)
		if !ok || no.Wait != 30*time.Second {
			t.Fatalf("Reserve = %v, want a wait of 30 s", err)
		}
		const text = "quota: team:a: tokens per minute: need 30, have 0 of 60, wait 30s"
		if err.Error() != text {
			t.Errorf("Error() = %q, want %q", err, text)
		}
		time.Sleep(no.Wait - time.Millisecond)
		if _, err = m.Reserve(t.Context(), a, quota.Cost{Requests: 1, Tokens: 30}); err == nil {
			t.Error("admitted a millisecond early")
		}
		time.Sleep(time.Millisecond)
		if _, err = m.Reserve(t.Context(), a, quota.Cost{Requests: 1, Tokens: 30}); err != nil {
			t.Errorf("refused in time: %v", err)
		}
	})
}

// TestWaitIsEnoughAtAnyRate seeks the rates at which a float falls short.
func TestWaitIsEnoughAtAnyRate(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := quota.NewMemory(quota.MemoryConfig{Now: c.Now})
	for perMinute := int64(1); perMinute < 2000; perMinute++ {
		limits := quota.Limits{RequestsPerMinute: perMinute, BurstRequests: 50}
		a := []quota.Account{{ID: "team:" + strconv.FormatInt(perMinute, 10), Limits: limits}}
		if _, err := m.Reserve(t.Context(), a, quota.Cost{Requests: 50}); err != nil {
			t.Fatal(err)
		}
		need := 1 + perMinute%50
		_, err := m.Reserve(t.Context(), a, quota.Cost{Requests: need})
		no, ok := errors.AsType[*quota.ExceededError](err)
		if !ok {
			t.Fatalf("%d a minute: %v, want a refusal", perMinute, err)
		}
		c.Advance(no.Wait)
		look, err := m.Reserve(t.Context(), a, quota.Cost{})
		if err != nil || look.Snapshot().Requests.Remaining < need {
			t.Errorf("%d a minute: %v and %+v after the wait, want %d", perMinute, err, look.Snapshot(), need)
		}
		if _, err := m.Reserve(t.Context(), a, quota.Cost{Requests: need}); err != nil {
			t.Errorf("%d a minute: refused after the wait: %v", perMinute, err)
		}
	}
}

func TestClockThatStepsAddsNothing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps []time.Duration
		want  int64 // left of a burst of 100 that was empty, at 1 a second
	}{
		{"back", []time.Duration{-time.Hour}, 0},
		{"back and on again", []time.Duration{-time.Hour, time.Hour}, 0},
		{"to and fro", []time.Duration{10 * time.Second, -10 * time.Second, 10 * time.Second, -5 * time.Second}, 10},
		{"to and fro and on", []time.Duration{10 * time.Second, -5 * time.Second, 8 * time.Second}, 13},
		{"not at all", []time.Duration{0, 0, 0}, 0},
		{"an hour on", []time.Duration{time.Hour}, 100},
		{"a thousand years on", []time.Duration{290 * 365 * 24 * time.Hour, 290 * 365 * 24 * time.Hour}, 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			m := quota.NewMemory(quota.MemoryConfig{Now: c.Now})
			a := []quota.Account{{ID: "team:a", Limits: quota.Limits{TokensPerMinute: 60, BurstTokens: 100}}}
			if _, err := m.Reserve(t.Context(), a, quota.Cost{Tokens: 100}); err != nil {
				t.Fatal(err)
			}
			var got int64
			for _, d := range tt.steps {
				c.Advance(d)
				lease, err := m.Reserve(t.Context(), a, quota.Cost{})
				if err != nil {
					t.Fatal(err)
				}
				got = lease.Snapshot().Tokens.Remaining
				lease.Settle(quota.Cost{})
			}
			if got != tt.want {
				t.Errorf("%d left, want %d", got, tt.want)
			}
		})
	}
}

// TestContentionNeverPassesTheBound uses a clock that moves at each look:
// were it looked at outside the lock, the same time would be credited twice.
func TestContentionNeverPassesTheBound(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var micros, admitted atomic.Int64
	m := quota.NewMemory(quota.MemoryConfig{Now: func() time.Time {
		return start.Add(time.Duration(micros.Add(1)) * time.Microsecond)
	}})
	// Half a token flows in at each look.
	a := []quota.Account{{ID: "team:a", Limits: quota.Limits{TokensPerMinute: 30_000_000, BurstTokens: 100}}}
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for range 200 {
				if lease, err := m.Reserve(t.Context(), a, quota.Cost{Tokens: 3}); err == nil {
					admitted.Add(3)
					lease.Settle(quota.Cost{Tokens: 3})
				}
			}
		})
	}
	wg.Wait()
	bound := 100 + float64(micros.Load())/2
	if got := float64(admitted.Load()); got > bound || got < bound-4 {
		t.Errorf("admitted %v, want at most %v and hardly less", got, bound)
	}
}

// TestNothingSettlesToNothing is for stores that have nothing to give back.
func TestNothingSettlesToNothing(t *testing.T) {
	t.Parallel()
	quota.NewLease(quota.Snapshot{}, nil).Settle(quota.Cost{Tokens: 1})

	var got []quota.Cost
	lease := quota.NewLease(quota.Snapshot{Tokens: quota.Level{Limit: 5}}, func(c quota.Cost) { got = append(got, c) })
	lease.Settle(quota.Cost{Requests: -1, Tokens: 1 << 60})
	lease.Settle(quota.Cost{Tokens: 2})
	if diff := cmp.Diff([]quota.Cost{{Tokens: 1 << 53}}, got); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
	if got := lease.Snapshot().Tokens.Limit; got != 5 {
		t.Errorf("Snapshot().Tokens.Limit = %d, want 5", got)
	}
}

func TestRefusalsReadWell(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  quota.ExceededError
		want string
	}{
		{
			"never fits",
			quota.ExceededError{Account: "team:a", Dimension: quota.Tokens, Limit: 100, Need: 500, Permanent: true},
			"quota: team:a: tokens per minute: need 500, never more than 100 at once",
		},
		{
			"no slot",
			quota.ExceededError{Account: "key:b", Dimension: quota.Concurrency, Limit: 3, Need: 1, Wait: time.Second},
			"quota: key:b: concurrency: need 1, have 0 of 3, wait 1s",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("Error() = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReserveHardlyAllocates(t *testing.T) {
	m := quota.NewMemory(quota.MemoryConfig{})
	accounts, cost := pair(), quota.Cost{Requests: 1, Tokens: 1000}
	got := testing.AllocsPerRun(100, func() {
		lease, err := m.Reserve(t.Context(), accounts, cost)
		if err != nil {
			t.Fatal(err)
		}
		lease.Settle(quota.Cost{Requests: 1, Tokens: 700})
	})
	if got > 1 {
		t.Errorf("%v allocations a request, want one lease", got)
	}
}

// pair is a team and its key, both limited in every dimension and never short.
func pair() []quota.Account {
	limits := quota.Limits{RequestsPerMinute: 1 << 40, TokensPerMinute: 1 << 50, Concurrency: 1 << 20}
	return []quota.Account{{ID: "team:search", Limits: limits}, {ID: "key:search-prod", Limits: limits}}
}

func BenchmarkReserveAndSettle(b *testing.B) {
	m := quota.NewMemory(quota.MemoryConfig{})
	accounts, cost := pair(), quota.Cost{Requests: 1, Tokens: 1000}
	b.ReportAllocs()
	for b.Loop() {
		lease, err := m.Reserve(b.Context(), accounts, cost)
		if err != nil {
			b.Fatal(err)
		}
		lease.Settle(quota.Cost{Requests: 1, Tokens: 700})
	}
}

func BenchmarkRefusal(b *testing.B) {
	m := quota.NewMemory(quota.MemoryConfig{})
	accounts := []quota.Account{{ID: "team:search", Limits: quota.Limits{RequestsPerMinute: 1}}}
	b.ReportAllocs()
	for b.Loop() {
		if lease, err := m.Reserve(b.Context(), accounts, quota.Cost{Requests: 1}); err == nil {
			lease.Settle(quota.Cost{Requests: 2})
		}
	}
}
