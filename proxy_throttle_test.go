package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/usage"
)

// from lists the models for a caller at an address, and returns the status and
// the body.
func (w *world) from(address, key string, headers ...string) (int, string) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodGet, "/v1/models", http.NoBody)
	r.RemoteAddr = address
	r.Header.Set("api-key", key)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	w.gateway.API.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// guess sends bad keys from an address until one is answered 429, and returns how
// many were answered 401.
func (w *world) guess(address string, headers ...string) int {
	w.t.Helper()
	for i := range 1000 {
		switch status, body := w.from(address, fmt.Sprintf("sk-guess-%d", i), headers...); status {
		case http.StatusUnauthorized:
		case http.StatusTooManyRequests:
			return i
		default:
			w.t.Fatalf("a bad key is answered %d %s", status, body)
		}
	}
	return 1000
}

// warned returns the addresses that the log says are throttled.
func (w *world) warned() []string {
	w.t.Helper()
	var all []string
	for line := range strings.Lines(w.log.String()) {
		var says struct{ Level, Msg, Address string }
		if err := json.Unmarshal([]byte(line), &says); err != nil {
			w.t.Fatalf("%v in %q", err, line)
		}
		if says.Msg == "failed keys are throttled" {
			all = append(all, says.Level+" "+says.Address)
		}
	}
	return all
}

// TestFailedKeysAreThrottled is reliability T12, over a connection: the answers
// to keys that are bad, and that a good one is served beside them.
func TestFailedKeysAreThrottled(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		bad := func() reply { return w.chat(say("hello"), "api-key", "sk-SENTINEL-guess") }
		for i := range 20 {
			if got := bad(); got.status != http.StatusUnauthorized || got.header.Get("X-Should-Retry") != "" {
				t.Fatalf("failure %d is answered %d", i, got.status)
			}
		}
		for range 5 {
			got := bad()
			code, param, kind := got.code()
			if got.status != 429 || code != "too_many_failed_keys" || param != "" || kind != "rate_limit_error" {
				t.Fatalf("answered %d %q %q %q: %s", got.status, code, param, kind, got.body)
			}
			h := got.header
			if h.Get("Retry-After-Ms") != "3000" || h.Get("Retry-After") != "3" || h.Get("X-Should-Retry") != "false" || h.Get("Www-Authenticate") != "" {
				t.Errorf("headers %v", h)
			}
			if rec := w.record(); rec.Outcome != usage.ClientError || rec.Team != "" || rec.Key != "" || rec.Code != code || rec.Status != 429 {
				t.Errorf("recorded %+v", rec)
			}
			if good := w.chat(say("hello")); good.status != http.StatusOK {
				t.Errorf("a good key is answered %d: %s", good.status, good.body)
			}
		}
		time.Sleep(3*time.Second - time.Millisecond)
		if got := bad(); got.status != 429 || got.header.Get("Retry-After-Ms") != "1" {
			t.Errorf("just before its time answered %d, %s ms", got.status, got.header.Get("Retry-After-Ms"))
		}
		time.Sleep(time.Millisecond)
		if got := bad(); got.status != http.StatusUnauthorized {
			t.Errorf("at its time answered %d", got.status)
		}
		if n := len(w.asked()); n != 5 {
			t.Errorf("upstream was asked %d times", n)
		}
		if diff := cmp.Diff([]string{"WARN none"}, w.warned()); diff != "" {
			t.Errorf("warnings (-want +got):\n%s", diff)
		}
		if strings.Contains(w.log.String(), "SENTINEL") {
			t.Error("the key is in the log")
		}
	})
}

// TestThrottledAddress holds whose address it is that is throttled: the caller's,
// as far as the proxies before the gateway are trusted.
func TestThrottledAddress(t *testing.T) {
	t.Parallel()
	const forwarded = "X-Forwarded-For"
	trusted := []string{`listen: "127.0.0.1:1"`, `listen: "127.0.0.1:1", trusted_proxies: [10.0.0.0/8]`}
	tests := []struct {
		name       string
		edits      []string
		from, then string
		header     []string // of the first
		other      []string // of the second
		want       int      // failures of the second that are answered 401
		said       string
	}{
		{name: "one address", from: "192.0.2.1:1", then: "192.0.2.1:2", want: 0, said: "192.0.2.1"},
		{name: "two", from: "192.0.2.1:1", then: "192.0.2.2:1", want: 20, said: "192.0.2.1"},
		{name: "one that says it is another", from: "192.0.2.1:1", then: "192.0.2.1:1", other: []string{forwarded, "192.0.2.9"}, want: 0, said: "192.0.2.1"},
		{name: "and is not trusted", edits: trusted, from: "192.0.2.1:1", then: "192.0.2.1:1", other: []string{forwarded, "192.0.2.9"}, want: 0, said: "192.0.2.1"},
		{name: "two behind a proxy that nobody trusts", from: "10.0.0.1:1", header: []string{forwarded, "192.0.2.1"}, then: "10.0.0.1:1", other: []string{forwarded, "192.0.2.2"}, want: 0, said: "10.0.0.1"},
		{name: "two behind a trusted one", edits: trusted, from: "10.0.0.1:1", header: []string{forwarded, "192.0.2.1"}, then: "10.0.0.1:1", other: []string{forwarded, "192.0.2.2"}, want: 20, said: "192.0.2.1"},
		{name: "one behind two trusted ones", edits: trusted, from: "10.0.0.1:1", header: []string{forwarded, "192.0.2.1"}, then: "10.0.0.2:1", other: []string{forwarded, "192.0.2.1"}, want: 0, said: "192.0.2.1"},
		{name: "one behind a trusted one that invents others", edits: trusted, from: "10.0.0.1:1", header: []string{forwarded, "198.51.100.1, 192.0.2.1"}, then: "10.0.0.1:1", other: []string{forwarded, "198.51.100.2, 192.0.2.1"}, want: 0, said: "192.0.2.1"},
		{name: "one /64", from: "[2001:db8::1]:1", then: "[2001:db8::ffff:1]:1", want: 0, said: "2001:db8::/64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				if got := w.guess(tt.from, tt.header...); got != 20 {
					t.Errorf("the first may fail %d times, want 20", got)
				}
				if got := w.guess(tt.then, tt.other...); got != tt.want {
					t.Errorf("the second may fail %d times, want %d", got, tt.want)
				}
				for _, key := range []string{searchKey, otherKey} {
					if status, body := w.from(tt.from, key, tt.header...); status != http.StatusOK {
						t.Errorf("a good key is answered %d: %s", status, body)
					}
				}
				synctest.Wait()
				if got := w.warned(); got[0] != "WARN "+tt.said {
					t.Errorf("warned of %q, want %s first", got, tt.said)
				}
			}, tt.edits...)
		})
	}
}

// TestOpenGatewayIsNotThrottled holds that where no key is needed none fails,
// whatever clients send because they must send something.
func TestOpenGatewayIsNotThrottled(t *testing.T) {
	t.Parallel()
	teams := plain[strings.Index(plain, "teams:"):strings.Index(plain, "resilience:")]
	bubble(t, plain, func(w *world) {
		for range 50 {
			if got := w.chat(say("hello"), "api-key", "not-needed"); got.status != http.StatusOK {
				t.Fatalf("answered %d: %s", got.status, got.body)
			}
		}
		if got := w.warned(); len(got) > 0 {
			t.Errorf("warned of %q", got)
		}
	}, teams, "")
}
