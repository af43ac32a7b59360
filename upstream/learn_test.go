package upstream_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/openai"
	"weir/upstream"
)

// refusing returns a resource whose deployments refuse what d says.
func refusing(d azuresim.Deployment) *azuresim.Server {
	return azuresim.New(azuresim.Config{Key: key, Deployments: map[string]azuresim.Deployment{"gpt-4o": d}})
}

// fixed makes every deployment one that refuses a temperature, without that
// anybody says so.
func fixed(w *world) {
	w.east, w.west = refusing(azuresim.Deployment{Reasoning: true}), refusing(azuresim.Deployment{Reasoning: true})
}

// TestLearnedTemperature holds that a deployment that refuses the temperature
// that we set is asked again without it, and not sent one for an hour (R3).
func TestLearnedTemperature(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) { fixed(w); alone(w) }, func(w *world) {
		w.east.Script(fault("server-error", 1)...)
		if got := w.do(w.ask("")); got.Status != 200 || got.Trace != "east, east 0.75, east" {
			t.Errorf("a 500, and then a 400 for our temperature, come to %+v", got)
		}
		if got := asked(w.east); got != "- 0.75 -" {
			t.Errorf("the temperatures sent are %s", got)
		}
		for _, tt := range []struct {
			wait  time.Duration
			trace string
		}{{time.Minute, "east, east"}, {58 * time.Minute, "east, east"}, {2 * time.Minute, "east, east 0.75, east"}} {
			time.Sleep(tt.wait)
			w.east.Script(fault("server-error", 1)...)
			if got := w.do(w.ask("")); got.Status != 200 || got.Trace != tt.trace {
				t.Errorf("the next 500 comes to %+v, want %q", got, tt.trace)
			}
		}
	})
	bubble(t, fixed, func(w *world) {
		w.east.Script(fault("server-error", 1)...)
		if got := w.do(w.ask("")); got.Status != 200 || got.Trace != "east, west 0.75, west" {
			t.Errorf("where there are two, it comes to %+v", got)
		}
		w.west.Script(fault("unicode-500", 1)...)
		if got := w.do(w.ask("")); got.Status != 200 {
			t.Errorf("then a bad output comes to %+v", got)
		}
	})
	bubble(t, func(w *world) { fixed(w); alone(w) }, func(w *world) {
		w.east.Script(fault("server-error", 2)...)
		got := w.do(w.ask(""))
		if got.Status != 500 || got.Code != "" || got.Trace != "east, east 0.75, east 0.5625" || !got.NoRetry {
			t.Errorf("where attempts run out it comes to %+v, want the first 500", got)
		}
	})
}

// TestTemperatureIsNotLearnedFromOthers holds that calls that were under way when
// a deployment was found to refuse a temperature are cured as well.
func TestTemperatureIsNotLearnedFromOthers(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) { fixed(w); alone(w) }, func(w *world) {
		// None is answered before all are sent, twice: all are told of it at once.
		w.east.Script(repeat(azuresim.Step{Fault: "server-error", Delay: time.Second}, 3)...)
		w.east.Script(repeat(azuresim.Step{Delay: time.Second}, 3)...)
		for _, r := range w.all(3, "") {
			if r.Status != 200 || r.Trace != "east, east 0.75, east" {
				t.Errorf("a call comes to %+v", r)
			}
		}
	})
}

// TestKindsOfTemperature holds whose temperature may be changed.
func TestKindsOfTemperature(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		model      upstream.Temperature
		deployment upstream.Temperature
		members    string
		trace      string
	}{
		{"adjustable, none sent", upstream.Adjustable, upstream.Unknown, "", "east, east 0.75, east 0.5625"},
		{"unknown, none sent", upstream.Unknown, upstream.Unknown, "", strings.Join([]string{"east", "east", "east"}, ", ")},
		{"unknown, one sent", upstream.Unknown, upstream.Unknown, `"temperature":1.2,`, "east, east 0.8, east 0.6"},
		{"fixed, one sent", upstream.Fixed, upstream.Unknown, `"temperature":1,`, strings.Join([]string{"east", "east", "east"}, ", ")},
		{"fixed, but not this deployment's", upstream.Fixed, upstream.Adjustable, "", "east, east 0.75, east 0.5625"},
		{"this deployment's is fixed", upstream.Adjustable, upstream.Fixed, "", strings.Join([]string{"east", "east", "east"}, ", ")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				d := deployment("east")
				d.Temperature = tt.deployment
				w.cfg.Models["m"] = upstream.Model{Deployments: []upstream.Deployment{d}, Temperature: tt.model}
			}, func(w *world) {
				w.east.Script(fault("unicode-500", 3)...)
				if got := w.do(w.ask(tt.members)); got.Trace != tt.trace {
					t.Errorf("came to %+v, want %q", got, tt.trace)
				}
			})
		})
	}
}

// TestOnlyTheTemperatureChanges holds that an attempt differs from the one before
// it in nothing but the temperature (R2).
func TestOnlyTheTemperatureChanges(t *testing.T) {
	t.Parallel()
	bubble(t, alone, func(w *world) {
		w.east.Script(fault("unicode-500", 1)...)
		body := `{"seed":12345678901234567890, "temperature" : 1.0e0 ,"messages":[{"role":"user","content":"\u00e9\/ <"}],"unknown":{"a":[1,2.50]}}`
		r, err := openai.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		w.do(&openai.Call{Request: r, Model: "m"})
		seen := w.east.Requests()
		want := []string{body, strings.Replace(body, "1.0e0", "0.75", 1)}
		if diff := cmp.Diff(want, []string{string(seen[0].Body), string(seen[1].Body)}); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
	})
}

// TestLearnedStreamOptions holds that a deployment that refuses stream_options is
// asked without, where it is we who asked for usage.
func TestLearnedStreamOptions(t *testing.T) {
	t.Parallel()
	old := func(attempts int) func(w *world) {
		return func(w *world) {
			alone(w)
			w.east = refusing(azuresim.Deployment{NoStreamOptions: true})
			w.cfg.Retry.Attempts = attempts
		}
	}
	for _, attempts := range []int{1, 3} {
		bubble(t, old(attempts), func(w *world) {
			w.east.Script(repeat(azuresim.Step{Delay: time.Second}, 4)...)
			for _, r := range w.all(4, streamed) {
				if r.Status != 200 || r.Err != nil || r.Trace != "east, east" {
					t.Errorf("of %d attempts, a stream comes to %+v", attempts, r)
				}
			}
			if got := w.do(w.ask(streamed)); got.Status != 200 || got.Trace != "east" {
				t.Errorf("the next stream comes to %+v, want it known", got)
			}
			if got := w.do(w.ask(streamed + `"stream_options":{"include_usage":true},`)); got.Status != 400 || got.Trace != "east" {
				t.Errorf("a client's own stream_options come to %+v, want the 400", got)
			}
		})
	}
	bubble(t, alone, func(w *world) {
		w.do(w.ask(streamed))
		w.do(w.ask(streamed + `"stream_options":{"include_obfuscation":false},`))
		for i, want := range []string{`{"include_usage":true}`, `{"include_usage":true,"include_obfuscation":false}`} {
			var body struct {
				Options json.RawMessage `json:"stream_options"`
			}
			if err := json.Unmarshal(w.east.Requests()[i].Body, &body); err != nil || string(body.Options) != want {
				t.Errorf("stream %d is asked for with %s, want %s", i, body.Options, want)
			}
		}
	})
}

// TestLearnedBound holds that a bound that we put in goes by the name that the
// deployment takes, and one that the client put in stays as it is.
func TestLearnedBound(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) { fixed(w); alone(w) }, func(w *world) {
		ours := func() *openai.Call {
			call := w.ask(`"max_tokens":500,`)
			call.Added = "max_tokens"
			return call
		}
		if got := w.do(ours()); got.Status != 200 || got.Trace != "east, east" {
			t.Fatalf("a bound of ours comes to %+v", got)
		}
		if got := w.do(ours()); got.Status != 200 || got.Trace != "east" {
			t.Errorf("the next comes to %+v", got)
		}
		seen := w.east.Requests()
		for i, want := range []string{
			`{"max_tokens":500,"messages":[{"role":"user","content":"hello"}]}`,
			`{"max_completion_tokens":500,"messages":[{"role":"user","content":"hello"}]}`,
			`{"max_completion_tokens":500,"messages":[{"role":"user","content":"hello"}]}`,
		} {
			if got := string(seen[i].Body); got != want {
				t.Errorf("request %d is %s, want %s", i, got, want)
			}
		}
		if got := w.do(w.ask(`"max_tokens":500,`)); got.Status != 400 || got.Code != "unsupported_parameter" || got.Trace != "east" {
			t.Errorf("a bound of the client's comes to %+v, want the 400", got)
		}

		w.east.Reset()
		w.east.Script(azuresim.Step{Status: 400, Body: `{"error":{"message":"x","param":"max_completion_tokens","code":"unsupported_parameter"}}`}, azuresim.Step{Content: "ok", Fault: "echo ok", Status: 200, Body: `{"choices":[{"message":{"content":"ok"}}]}`})
		if got := w.do(ours()); got.Status != 200 || got.Trace != "east, east" {
			t.Errorf("where the other name is refused it comes to %+v", got)
		}
		if got := string(w.east.Requests()[1].Body); !strings.Contains(got, `"max_tokens":500`) {
			t.Errorf("then it is asked for as %s", got)
		}
	})
}

// TestNothingButOursRefused holds what a client is told where every attempt was
// refused for what we had put in: nothing of it.
func TestNothingButOursRefused(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		alone(w)
		w.cfg.Retry.Attempts = 1
	}, func(w *world) {
		w.east.Script(
			azuresim.Step{Status: 400, Body: `{"error":{"message":"x","param":"stream_options","code":"unsupported_parameter"}}`},
			azuresim.Step{Status: 400, Body: `{"error":{"message":"x","param":"max_tokens","code":"unsupported_parameter"}}`},
		)
		call := w.ask(streamed + `"max_tokens":5,`)
		call.Added = "max_tokens"
		if got := w.do(call); got.Status != 502 || got.NoRetry || got.Trace != "east, east" {
			t.Errorf("came to %+v, want a 502 that may be tried again", got)
		}
		if got := w.do(call); got.Status != 200 {
			t.Errorf("tried again it comes to %+v", got)
		}
	})
}
