package main_test

import (
	"fmt"
	"testing"
)

// TestKeptResponseIsMadeOnce: a response that upstream keeps, as it does unless it is
// told not to, is not asked for again once it may be there: where the connection broke,
// where the answer was lost on its way, where somebody's patience ended, and where an
// answer had begun that cannot be used. A plain refusal says that it is not there.
func TestKeptResponseIsMadeOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault  string
		stream bool
		calls  int
	}{
		{"close-after-read", false, 1},
		{"close-after-read", true, 1},
		{"reset-first", true, 1},
		{"cut-first", true, 1},
		{"timeout", false, 1},
		{"gateway-timeout", false, 1},
		{"gateway-timeout", true, 1},
		{"bad-gateway", false, 1},
		{"bad-gateway", true, 1},
		{"short-json", false, 1},
		{"truncated-json", false, 1},
		{"json-for-stream", true, 1},
		{"html-for-stream", true, 1},
		{"server-error", false, 2},
		{"server-error", true, 2},
		{"server-error-stream", true, 2},
		{"unicode-stream", true, 2},
		{"unavailable", false, 2},
		{"rate-limit 1", false, 2},
	} {
		for store, kept := range map[string]bool{`"a":1`: true, `"store":true`: true, `"store":false`: false} {
			t.Run(fmt.Sprintf("%s %v %s", tt.fault, tt.stream, store), func(t *testing.T) {
				t.Parallel()
				bubble(t, plain, func(w *world) {
					w.east.Script(steps(tt.fault)...)
					got := w.respond(wish("hello", store, fmt.Sprintf(`"stream":%v`, tt.stream)))
					calls := 2
					if kept {
						calls = tt.calls
					}
					if n := len(w.asked()); n != calls {
						t.Errorf("%d calls, want %d: %d %.200s", n, calls, got.status, got.body)
					}
				})
			})
		}
	}
}
