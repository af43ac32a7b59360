package upstream_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
)

// came is what a row of the rule's table must come to.
type came struct {
	Status  int
	Code    string
	Trace   string // every attempt, in order, with the temperature that the gateway set
	Took    time.Duration
	Wait    time.Duration // that the client is told of
	NoRetry bool
	Good    int // what east's breaker counts
	Bad     int
	Rest    time.Duration // of east
}

// TestRule is the rule for retries (R1): what each failure of east
// leads to, with west beside it and without, in a stream and not. Whatever it is,
// the deployments are asked exactly as often as the trace says.
func TestRule(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	ok := func(trace string, bad int) came { return came{Status: 200, Trace: trace, Bad: bad} }
	after := func(took time.Duration, c came) came { c.Took = took; return c }
	rests := func(rest time.Duration, c came) came { c.Rest = rest; return c }
	fails := func(status int, code, trace string, took time.Duration, bad int) came {
		return came{Status: status, Code: code, Trace: trace, Took: took, Bad: bad, NoRetry: true}
	}
	refused := func(status int, code string) came {
		return came{Status: status, Code: code, Trace: "east", Good: 1}
	}
	thrice, cooled := strings.Join([]string{"east", "east", "east"}, ", "), "east, east 0.75, east 0.5625"
	good := func(c came) came { c.Good++; return c }
	tests := []struct {
		name     string
		only     string // "stream", "plain"; "" both
		steps    []azuresim.Step
		down     bool
		members  string
		one, two came
	}{
		{name: "nobody listens", down: true, one: fails(502, "upstream_unreachable", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "closed behind the request", steps: fault("close-after-read", 5), one: fails(502, "upstream_unreachable", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "reset behind the request", steps: fault("reset-first", 5), one: fails(502, "upstream_unreachable", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "closed once", steps: fault("close-after-read", 1), one: good(after(50*ms, ok("east, east", 1))), two: ok("east, west", 1)},
		{name: "headers without end", steps: fault("huge-headers", 5), one: fails(502, "upstream_unreachable", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "no answer", only: "plain", steps: fault("hang", 5), one: fails(504, "upstream_timeout", "east", 10*time.Minute, 1), two: fails(504, "upstream_timeout", "east", 10*time.Minute, 1)},
		{name: "no first event", only: "stream", steps: fault("hang", 5), one: fails(504, "upstream_timeout", "east", time.Minute, 1), two: after(time.Minute, ok("east, west", 1))},

		{name: "408", steps: fault("timeout", 5), one: fails(408, "Timeout", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "500", steps: fault("server-error", 5), one: fails(500, "", cooled, 150*ms, 3), two: ok("east, west 0.75", 1)},
		{name: "500, flat", steps: fault("server-error-flat", 5), one: fails(500, "internal_server_error", cooled, 150*ms, 3), two: ok("east, west 0.75", 1)},
		{name: "500 twice", steps: fault("server-error", 2), one: good(after(150*ms, ok(cooled, 2))), two: ok("east, west 0.75", 1)},
		{name: "502", steps: fault("bad-gateway", 5), one: fails(502, "bad_gateway", thrice, 150*ms, 3), two: ok("east, west", 1)},
		{name: "503", steps: fault("unavailable", 5), one: fails(503, "service_unavailable", thrice, 150*ms, 3), two: ok("east, west", 1)},
		{name: "504", steps: fault("gateway-timeout", 5), one: fails(504, "GatewayTimeout", thrice, 150*ms, 3), two: ok("east, west", 1)},
		{
			name: "503 with Retry-After", steps: fault("unavailable-retry 5", 5),
			one: rests(5250*ms, came{Status: 503, Code: "503", Trace: thrice, Took: 10500 * ms, Wait: 5 * time.Second, NoRetry: true}), two: rests(5250*ms, ok("east, west", 0)),
		},
		{
			name: "503 with a long Retry-After", steps: fault("unavailable-retry 300", 5),
			one: rests(63*time.Second, came{Status: 503, Code: "503", Trace: "east", Wait: 300 * time.Second, NoRetry: true}), two: rests(63*time.Second, ok("east, west", 0)),
		},

		{name: "invalid Unicode", steps: fault("unicode-500", 1), one: good(ok("east, east 0.75", 0)), two: good(ok("east, east 0.75", 0))},
		{name: "invalid Unicode in the first event", steps: fault("unicode-stream", 1), one: good(ok("east, east 0.75", 0)), two: good(ok("east, east 0.75", 0))},
		{name: "special token", steps: fault("special-token-500", 1), one: good(ok("east, east 0.75", 0)), two: good(ok("east, east 0.75", 0))},
		{name: "invalid Unicode, at any temperature", steps: fault("unicode-500", 5), one: fails(500, "", cooled, 0, 0), two: ok("east, east 0.75, west 0.5625", 0)},
		{name: "invalid Unicode, at 2", members: `"temperature":2,`, steps: fault("unicode-500", 5), one: fails(500, "", "east, east 0.8, east 0.6", 0, 0), two: ok("east, east 0.8, west 0.6", 0)},
		{name: "invalid Unicode, at 0.2", members: `"temperature":0.2,`, steps: fault("unicode-500", 1), one: good(ok("east, east 0.15", 0)), two: good(ok("east, east 0.15", 0))},
		{name: "invalid Unicode, at 0", members: `"temperature":0,`, steps: fault("unicode-500", 1), one: good(ok("east, east 0", 0)), two: good(ok("east, east 0", 0))},
		{name: "invalid content", steps: fault("invalid-content", 5), one: fails(500, "", "east, east 0.75", 0, 0), two: fails(500, "", "east, east 0.75", 0, 0)},
		{name: "500 as the first event", steps: fault("server-error-stream", 5), one: fails(500, "", cooled, 150*ms, 3), two: ok("east, west 0.75", 1)},

		{
			name: "429", steps: fault("rate-limit 7", 5),
			one: rests(7350*ms, came{Status: 429, Code: "429", Trace: thrice, Took: 14700 * ms, Wait: 7 * time.Second}), two: rests(7350*ms, ok("east, west", 0)),
		},
		{name: "429 once", steps: fault("rate-limit 7", 1), one: good(after(7350*ms, ok("east, east", 0))), two: rests(7350*ms, ok("east, west", 0))},
		{name: "429, provisioned", steps: fault("provisioned-full 43ms", 1), one: good(after(45150*time.Microsecond, ok("east, east", 0))), two: rests(45150*time.Microsecond, ok("east, west", 0))},
		{
			name: "429, longer than is waited", steps: fault("rate-limit 21", 5),
			one: rests(22050*ms, came{Status: 429, Code: "429", Trace: "east", Wait: 21 * time.Second}), two: rests(22050*ms, ok("east, west", 0)),
		},
		{
			name: "429, never", steps: fault("rate-limit-never", 5),
			one: rests(63*time.Second, came{Status: 429, Code: "429", Trace: "east", Wait: 24 * time.Hour}), two: rests(63*time.Second, ok("east, west", 0)),
		},
		{
			name: "429, in words", steps: fault("rate-limit-short", 5),
			one: rests(63*time.Second, came{Status: 429, Code: "429", Trace: "east", Wait: time.Minute}), two: rests(63*time.Second, ok("east, west", 0)),
		},
		{
			name: "429, without a hint", steps: fault("openai-limit-tokens", 5),
			one: rests(1050*ms, came{Status: 429, Code: "rate_limit_exceeded", Trace: thrice, Took: 2100 * ms}), two: rests(1050*ms, ok("east, west", 0)),
		},
		{
			name: "unpaid", steps: fault("insufficient-quota", 5),
			one: rests(315*time.Second, came{Status: 429, Code: "insufficient_quota", Trace: "east", NoRetry: true}), two: rests(315*time.Second, ok("east, west", 0)),
		},

		{name: "401", steps: fault("bad-key", 5), one: rests(63*time.Second, fails(502, "upstream_auth_failed", "east", 0, 0)), two: rests(63*time.Second, ok("east, west", 0))},
		{name: "403", steps: fault("key-disabled", 5), one: rests(63*time.Second, fails(502, "upstream_auth_failed", "east", 0, 0)), two: rests(63*time.Second, ok("east, west", 0))},
		{name: "404, no such deployment", steps: fault("deployment-missing", 5), one: rests(63*time.Second, came{Status: 404, Code: "DeploymentNotFound", Trace: "east"}), two: rests(63*time.Second, ok("east, west", 0))},

		{name: "404, no such path", steps: fault("not-found", 5), one: refused(404, "404"), two: refused(404, "404")},
		{name: "400, content filter", steps: fault("content-filter", 5), one: refused(400, "content_filter"), two: refused(400, "content_filter")},
		{name: "400, special tokens", steps: fault("special-tokens", 5), one: refused(400, ""), two: refused(400, "")},
		{name: "400, context length", steps: fault("context-length", 5), one: refused(400, "context_length_exceeded"), two: refused(400, "context_length_exceeded")},
		{name: "413", steps: fault("too-large", 5), one: refused(413, "413"), two: refused(413, "413")},
		{name: "415", steps: fault("media-type", 5), one: refused(415, "415"), two: refused(415, "415")},
		{name: "422", steps: repeat(azuresim.Step{Status: 422, Body: `{"error":{"code":"x","message":"y"}}`}, 5), one: refused(422, "x"), two: refused(422, "x")},
		{
			name: "400, the client's own temperature", members: `"temperature":0.7,`, steps: fault("unsupported-value", 5),
			one: came{Status: 400, Code: "unsupported_value", Trace: "east"}, two: came{Status: 400, Code: "unsupported_value", Trace: "east"},
		},

		{name: "redirect", steps: fault("redirect", 5), one: fails(502, "upstream_bad_answer", thrice, 150*ms, 3), two: ok("east, west", 1)},
		{name: "a cut answer", only: "plain", steps: fault("truncated-json", 5), one: fails(502, "upstream_unreachable", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "half an answer", only: "plain", steps: fault("short-json", 5), one: fails(502, "upstream_bad_answer", thrice, 150*ms, 3), two: ok("east, west", 1)},
		{name: "half an answer, then nothing", only: "plain", steps: fault("unfinished-json", 5), one: fails(504, "upstream_timeout", "east", 10*time.Minute, 1), two: fails(504, "upstream_timeout", "east", 10*time.Minute, 1)},
		{name: "a stream where none was asked for", only: "plain", steps: repeat(azuresim.Step{Chunks: []string{"data: [DONE]\n\n"}}, 5), one: fails(502, "upstream_bad_answer", thrice, 150*ms, 3), two: ok("east, west", 1)},
		{name: "JSON for a stream", only: "stream", steps: fault("json-for-stream", 5), one: fails(502, "upstream_bad_answer", thrice, 150*ms, 3), two: ok("east, west", 1)},
		{name: "HTML for a stream", only: "stream", steps: fault("html-for-stream", 5), one: fails(502, "upstream_bad_answer", thrice, 150*ms, 3), two: ok("east, west", 1)},
		{name: "a stream without a byte", only: "stream", steps: repeat(azuresim.Step{Status: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}}, 5), one: fails(502, "upstream_unreachable", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "a stream that is done before it begins", only: "stream", steps: repeat(azuresim.Step{Chunks: []string{"data: [DONE]\n\n"}}, 5), one: fails(502, "upstream_bad_answer", thrice, 150*ms, 3), two: ok("east, west", 1)},
		{name: "a stream cut before content", only: "stream", steps: fault("cut-first", 5), one: fails(502, "upstream_unreachable", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "an encoding nobody asked for", steps: repeat(azuresim.Step{Header: http.Header{"Content-Encoding": {"br"}}}, 5), one: fails(502, "upstream_unreachable", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "gzip that is none", steps: repeat(azuresim.Step{Header: http.Header{"Content-Encoding": {"gzip"}}}, 5), one: fails(502, "upstream_unreachable", "east, east", 50*ms, 2), two: ok("east, west", 1)},
		{name: "an error compressed", steps: repeat(azuresim.Step{Fault: "unicode-500", Gzip: true}, 1), one: good(ok("east, east 0.75", 0)), two: good(ok("east, east 0.75", 0))},
		{name: "an error cut", steps: repeat(azuresim.Step{Fault: "rate-limit 7", CutBytes: 20}, 1), one: good(after(7350*ms, ok("east, east", 0))), two: rests(7350*ms, ok("east, west", 0))},
		{name: "gzip", steps: fault("gzip", 1), one: good(ok("east", 0)), two: good(ok("east", 0))},
	}
	for _, tt := range tests {
		for _, mode := range []string{"plain", "stream"} {
			if tt.only != "" && tt.only != mode {
				continue
			}
			for _, beside := range []bool{false, true} {
				want := tt.one
				if beside {
					want = tt.two
				}
				t.Run(fmt.Sprintf("%s/%s/west=%t", tt.name, mode, beside), func(t *testing.T) {
					t.Parallel()
					change := alone
					if beside {
						change = nil
					}
					bubble(t, change, func(w *world) {
						w.down = tt.down
						w.east.Script(tt.steps...)
						members := tt.members
						if mode == "stream" {
							members += streamed
						}
						got := w.do(w.ask(members))
						if got.Err != nil || (got.Text == "") == (want.Status == 200) {
							t.Errorf("the answer is %q, %v", got.Text, got.Err)
						}
						w.hold(want, got)
					})
				})
			}
		}
	}
}

// hold compares what a call came to with what it must, and what it says of itself
// with what the simulators saw.
func (w *world) hold(want came, r result) {
	w.t.Helper()
	synctest.Wait()
	s := w.state()
	got := came{Status: r.Status, Code: r.Code, Trace: r.Trace, Took: r.Took, Wait: r.Wait, NoRetry: r.NoRetry, Rest: s.Rest}
	got.Good, got.Bad = w.pool.Counted("east/gpt-4o")
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("(-want +got):\n%s", diff)
	}
	var east, west int
	for step := range strings.SplitSeq(want.Trace, ", ") {
		if strings.HasPrefix(step, "east") {
			east++
		} else {
			west++
		}
	}
	if w.down {
		east = 0
	}
	if e, o := len(w.east.Requests()), len(w.west.Requests()); e != east || o != west {
		w.t.Errorf("east was asked %d times and west %d, want %d and %d", e, o, east, west)
	}
	for i, step := range strings.Split(want.Trace, ", ") {
		if _, set, ok := strings.Cut(step, " "); ok && !strings.Contains(asked(w.east)+" "+asked(w.west), set) {
			w.t.Errorf("attempt %d was to be sent the temperature %s; sent were %s to east and %s to west", i+1, set, asked(w.east), asked(w.west))
		}
	}
	if s.InFlight != 0 || s.Breaker != "closed" {
		w.t.Errorf("east is left %s with %d in flight", s.Breaker, s.InFlight)
	}
}
