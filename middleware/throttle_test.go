package middleware_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"weir/middleware"
	"weir/usage"
)

// door is the throttled way into a gateway: a key that one team has, another
// that has expired, and a log.
type door struct {
	log  bytes.Buffer
	book book
	auth echo.MiddlewareFunc
}

func newDoor(open *middleware.Caller) *door {
	d := &door{}
	keys := middleware.Keys{
		sha256.Sum256([]byte("good")):  {Team: "one", Key: "a"},
		sha256.Sum256([]byte("other")): {Team: "two", Key: "a"},
		sha256.Sum256([]byte("old")):   {Team: "one", Key: "old", Expires: time.Unix(0, 0)},
	}
	d.auth = middleware.Auth(keys, open, middleware.NewThrottle(slog.New(slog.NewTextHandler(&d.log, nil))))
	return d
}

// ask sends a request from an address and returns its status.
func (d *door) ask(from string, header ...string) int {
	r := get("/v1/x", header...)
	r.RemoteAddr = from
	return serve(r, fine, nil, middleware.Record(newID, &d.book), d.auth).Code
}

// fail sends bad keys from an address and returns how many are answered 401.
func (d *door) fail(t *testing.T, from string, times int) (unauthorized int) {
	t.Helper()
	for i := range times {
		switch got := d.ask(from, "api-key", fmt.Sprintf("guess-%d", i)); got {
		case http.StatusUnauthorized:
			unauthorized++
		case http.StatusTooManyRequests:
		default:
			t.Errorf("a bad key is answered %d", got)
		}
	}
	return unauthorized
}

// warnings returns the addresses that the log says are throttled.
func (d *door) warnings() []string {
	var all []string
	for line := range strings.Lines(d.log.String()) {
		_, address, _ := strings.Cut(line, ` level=WARN msg="failed keys are throttled" address=`)
		address, _, _ = strings.Cut(address, " per_minute=20")
		all = append(all, address)
	}
	return all
}

// TestThrottleLevels holds how often an address may fail, to the millisecond.
func TestThrottleLevels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const from = "192.0.2.7:1234"
		d := newDoor(nil)
		steps := []struct {
			name         string
			after        time.Duration
			times        int
			unauthorized int
			warnings     int
		}{
			{"all at once", 0, 100, 20, 1},
			{"just before the next", 3*time.Second - time.Millisecond, 5, 0, 1},
			{"the next", time.Millisecond, 5, 1, 1},
			{"two more", 6 * time.Second, 5, 2, 1},
			{"not quite forgiven", 59 * time.Second, 25, 19, 1},
			{"forgiven, and throttled anew", time.Minute, 25, 20, 2},
			{"never more than at once", time.Hour, 25, 20, 3},
		}
		for _, s := range steps {
			time.Sleep(s.after)
			if got := d.fail(t, from, s.times); got != s.unauthorized {
				t.Errorf("%s: %d of %d are answered 401, want %d", s.name, got, s.times, s.unauthorized)
			}
			if got := d.warnings(); len(got) != s.warnings {
				t.Errorf("%s: %d warnings, want %d: %q", s.name, len(got), s.warnings, got)
			}
		}
		if strings.Contains(d.log.String(), "guess") {
			t.Errorf("a key is in the log: %s", d.log.String())
		}
		for _, r := range d.book.records {
			if r.Team != "" || r.Key != "" || r.Outcome != usage.ClientError || r.Client != "192.0.2.7" {
				t.Fatalf("recorded %+v", r)
			}
		}
	})
}

// TestThrottled holds what is answered to an address that is throttled, and which
// answers count against one: those alone to a key that nobody has.
func TestThrottled(t *testing.T) {
	t.Parallel()
	const from = "192.0.2.7:1234"
	tests := []struct {
		name      string
		header    []string
		throttled int // what is answered then
		counts    bool
	}{
		{name: "unknown", header: []string{"api-key", "nonsense"}, throttled: 429, counts: true},
		{name: "expired", header: []string{"api-key", "old"}, throttled: 429, counts: true},
		{name: "two unknown", header: []string{"api-key", "nonsense", "Authorization", "Bearer old"}, throttled: 429, counts: true},
		{name: "good", header: []string{"api-key", "good"}, throttled: 200},
		{name: "good beside an unknown", header: []string{"api-key", "good", "Authorization", "Bearer eyJ.x.y"}, throttled: 200},
		{name: "none", throttled: 401},
		{name: "no bearer", header: []string{"Authorization", "Basic nonsense"}, throttled: 401},
		{name: "two teams", header: []string{"api-key", "good", "Authorization", "Bearer other"}, throttled: 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(nil)
				d.fail(t, from, 21)
				if got := d.ask(from, tt.header...); got != tt.throttled {
					t.Errorf("once throttled it is answered %d, want %d", got, tt.throttled)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(nil)
				for range 20 {
					d.ask(from, tt.header...)
				}
				want := http.StatusUnauthorized
				if tt.counts {
					want = http.StatusTooManyRequests
				}
				if got := d.ask(from, "api-key", "guess"); got != want {
					t.Errorf("after 20 of it a bad key is answered %d, want %d", got, want)
				}
			})
		})
	}
}

// TestOpenIsNotThrottled holds that no key fails where none is needed.
func TestOpenIsNotThrottled(t *testing.T) {
	t.Parallel()
	d := newDoor(&middleware.Caller{Team: "open"})
	for range 50 {
		for _, header := range [][]string{nil, {"api-key", "nonsense"}, {"api-key", "old"}, {"api-key", "good"}} {
			if got := d.ask("127.0.0.1:1", header...); got != http.StatusOK {
				t.Fatalf("%q is answered %d", header, got)
			}
		}
	}
	if got := d.warnings(); len(got) > 0 {
		t.Errorf("warned of %q", got)
	}
}

// TestThrottleAddresses holds which addresses are one.
func TestThrottleAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, from, other string
		same              bool
		said              string
	}{
		{"one, from two ports", "192.0.2.7:1", "192.0.2.7:2", true, "192.0.2.7"},
		{"two", "192.0.2.7:1", "192.0.2.6:1", false, "192.0.2.7"},
		{"written as IPv6", "[::ffff:192.0.2.7]:1", "192.0.2.7:1", true, "192.0.2.7"},
		{"two written as IPv6", "[::ffff:192.0.2.7]:1", "[::ffff:192.0.2.6]:1", false, "192.0.2.7"},
		{"one /64", "[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::2]:1", true, "2001:db8:0:1::/64"},
		{"two /64", "[2001:db8:0:1::1]:1", "[2001:db8:0:2::1]:1", false, "2001:db8:0:1::/64"},
		{"two zones", "[fe80::1%eth0]:1", "[fe80::1%eth1]:1", true, "fe80::/64"},
		{"none", "@", "", true, "none"},
		{"none beside one", "@", "0.0.0.0:1", false, "none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(nil)
				d.fail(t, tt.from, 21)
				if got := d.fail(t, tt.other, 1) == 0; got != tt.same {
					t.Errorf("they are one: %t, want %t", got, tt.same)
				}
				if diff := cmp.Diff([]string{tt.said}, d.warnings()); diff != "" {
					t.Errorf("warnings (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestThrottleFlood holds that a flood of addresses can make the throttle forget
// those that failed the longest ago, and only those, and throttles nobody.
func TestThrottleFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		address := func(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }
		d := newDoor(nil)
		d.fail(t, "192.0.2.1:1", 21)
		d.fail(t, "192.0.2.2:1", 21)
		for i := range 9_998 {
			if d.fail(t, address(i), 1) != 1 {
				t.Fatalf("address %d is throttled at its first failure", i)
			}
		}
		if d.fail(t, "192.0.2.1:1", 1) != 0 {
			t.Error("the first is forgotten, and 10,000 are known")
		}
		d.fail(t, address(9_998), 1)
		if d.fail(t, "192.0.2.1:1", 1) != 0 {
			t.Error("who failed just now is forgotten before the others")
		}
		if got := d.fail(t, "192.0.2.2:1", 25); got != 20 {
			t.Errorf("who failed the longest ago may fail %d times, want 20", got)
		}
		if got := d.warnings(); len(got) != 3 {
			t.Errorf("warned of %q", got)
		}
	})
}

// TestThrottleAtOnce holds that many failures at once are no more than one after
// another.
func TestThrottleAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		throttle := middleware.NewThrottle(slog.New(slog.DiscardHandler))
		auth := middleware.Auth(nil, nil, throttle)
		codes := make([]int, 200)
		var all sync.WaitGroup
		for i := range codes {
			all.Go(func() { codes[i] = serve(get("/v1/x", "api-key", "nonsense"), fine, nil, auth).Code })
		}
		all.Wait()
		count := map[int]int{}
		for _, c := range codes {
			count[c]++
		}
		if diff := cmp.Diff(map[int]int{401: 20, 429: 180}, count); diff != "" {
			t.Errorf("answers (-want +got):\n%s", diff)
		}
	})
}
