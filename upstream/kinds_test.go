package upstream_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"weir/azuresim"
	"weir/openai"
	"weir/upstream"
	"weir/usage"
)

// kinds returns a deployment of each kind at a host.
func kinds(host string) map[string]upstream.Deployment {
	classic := deployment(host)
	v1, compatible := classic, classic
	v1.APIVersion = "v1"
	compatible.Kind, compatible.APIVersion = upstream.OpenAI, "v1"
	compatible.Credential = upstream.AsBearer(upstream.NewAPIKey(key))
	return map[string]upstream.Deployment{"classic": classic, "v1": v1, "openai": compatible}
}

// TestEveryKind holds that each kind of deployment answers, streams, is left for
// another where it fails, and has its cut streams shown as cut.
func TestEveryKind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, members, fault, trace string
		cut                         bool
	}{
		{"plain", "", "", "east", false},
		{"stream", streamed, "", "east", false},
		{"an error", "", "server-error", "east, west 0.75", false},
		{"an error in a stream's first event", streamed, "server-error-stream", "east, west 0.75", false},
		{"a cut behind content", streamed, "cut-stream", "east", true},
		{"a reset behind content", streamed, "reset-stream", "east", true},
	}
	for kind, path := range map[string]string{
		"classic": "/openai/deployments/gpt-4o/chat/completions", "v1": "/openai/v1/chat/completions", "openai": "/v1/chat/completions",
	} {
		for _, tt := range tests {
			t.Run(kind+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				bubble(t, func(w *world) { w.deployments(kinds("east")[kind], kinds("west")["classic"]) }, func(w *world) {
					if tt.fault != "" {
						w.east.Script(fault(tt.fault, 1)...)
					}
					got := w.do(w.ask(`"model":"m","data_sources":[],` + tt.members))
					if got.Status != 200 || got.Trace != tt.trace || isCut(got.Err) != tt.cut {
						t.Errorf("came to %+v, want %q, cut %t", got, tt.trace, tt.cut)
					}
					seen := w.east.Requests()[0]
					var body struct {
						Model string
						Data  []any `json:"data_sources"`
					}
					if err := json.Unmarshal(seen.Body, &body); err != nil || seen.Path != path || body.Data == nil {
						t.Errorf("%s got %s", seen.Path, seen.Body)
					}
					if want := map[bool]string{true: "m", false: "gpt-4o"}[kind == "classic"]; body.Model != want {
						t.Errorf("the model sent is %q, want %q", body.Model, want)
					}
					bearer := seen.Header.Get("Authorization") == "Bearer "+key && seen.Header.Get("Api-Key") == ""
					if bearer != (kind == "openai") {
						t.Errorf("the header sent is %v", seen.Header)
					}
				})
			})
		}
	}
}

// TestCompatibleEndpoints holds where requests go, and that a server may want no
// key.
func TestCompatibleEndpoints(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{"": "/v1", "/": "/v1", "/v1": "/v1", "/v1/": "/v1", "/api/v3": "/api/v3"} {
		bubble(t, func(w *world) {
			d := kinds("east")["openai"]
			d.Endpoint = &url.URL{Scheme: "http", Host: "east.example", Path: base}
			d.Credential = upstream.AsBearer(nil)
			w.deployments(d)
		}, func(w *world) {
			w.do(w.ask(""))
			seen := w.east.Requests()[0]
			if seen.Path != want+"/chat/completions" || seen.Header.Get("Authorization") != "" {
				t.Errorf("%q is asked at %s with %v", base, seen.Path, seen.Header)
			}
		})
	}
}

// TestRegions holds that a call goes to its regions alone, whatever happens there.
func TestRegions(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		east, west := deployment("east"), deployment("west")
		east.Region, west.Region = "eu", "us"
		w.deployments(east, west)
	}, func(w *world) {
		w.east.Script(azuresim.Step{Status: 429, Header: http.Header{"Retry-After": {"60"}}, Body: "{}"})
		call := w.ask("")
		call.Regions = []string{"eu"}
		if got := w.do(call); got.Status != 429 || got.Trace != "east" {
			t.Errorf("a throttled region comes to %+v", got)
		}
		for _, c := range w.pool.Candidates(call) {
			if c.Chosen || c.Deployment == "west/gpt-4o" && !strings.Contains(c.Reason, "region") {
				t.Errorf("%+v is a candidate", c)
			}
		}
		call.Regions = []string{"mars"}
		if got := w.do(call); got.Status != 404 || got.Code != "model_not_found" {
			t.Errorf("a region without a deployment comes to %+v", got)
		}
	})
}

// TestNativeSpillover holds that the deployment that Azure has tried itself is not
// tried once more, and that the record names it.
func TestNativeSpillover(t *testing.T) {
	t.Parallel()
	spilling := func(w *world) {
		provisioned, standard := deployment("east"), deployment("east")
		provisioned.Name, provisioned.Spills, standard.Priority = "ptu", true, 1
		w.deployments(provisioned, standard)
	}
	header := http.Header{"X-Ms-Spillover-From-Deployment": {"ptu"}, "X-Ms-Deployment-Name": {"gpt-4o"}}
	bubble(t, spilling, func(w *world) {
		refused := header.Clone()
		refused.Set("Retry-After", "60")
		w.east.Script(azuresim.Step{Header: header}, azuresim.Step{Status: 429, Header: refused, Body: "{}"})
		rec := &usage.Record{}
		answer, err := w.pool.Do(w.t.Context(), w.ask(""), rec)
		if err != nil || rec.Spilled != "gpt-4o" {
			t.Fatalf("%v, spilled to %q", err, rec.Spilled)
		}
		answer.Close(nil)
		if got := w.do(w.ask("")); got.Status != 429 || got.Trace != "east/ptu" {
			t.Errorf("a throttled pair comes to %+v", got)
		}
	})
	bubble(t, spilling, func(w *world) {
		w.east.Script(azuresim.Step{Status: 429, Body: "{}"})
		if got := w.do(w.ask("")); got.Status != 200 || got.Trace != "east/ptu, east" {
			t.Errorf("where Azure has not spilled it comes to %+v", got)
		}
	})
}

// TestFirstContent holds how long a stream's first content is waited for, before
// the commit point and behind it.
func TestFirstContent(t *testing.T) {
	t.Parallel()
	step := azuresim.Step{Pause: 25 * time.Second, PauseAt: 2}
	for _, tt := range []struct {
		name   string
		bound  time.Duration
		commit time.Duration
		trace  string
		cut    bool
	}{
		{"none", 0, 0, "east", false},
		{"long enough", 30 * time.Second, 0, "east", false},
		{"too short", 10 * time.Second, 0, "east, west", false},
		{"too short, committed", 20 * time.Second, 15 * time.Second, "east", true},
	} {
		bubble(t, func(w *world) {
			w.cfg.Timeouts.FirstContent, w.cfg.Timeouts.Commit = tt.bound, tt.commit
		}, func(w *world) {
			w.east.Script(step)
			if got := w.do(w.ask(streamed)); got.Trace != tt.trace || isCut(got.Err) != tt.cut {
				t.Errorf("%s: %+v", tt.name, got)
			}
			want := 0
			if tt.cut || tt.trace != "east" {
				want = 1
			}
			if _, bad := w.pool.Counted("east/gpt-4o"); bad != want {
				t.Errorf("%s: %d faults", tt.name, bad)
			}
		})
	}
}

// TestSlowStream holds that a stream below the floor is cut after half a minute,
// that one above it is not, and that a slow reader slows no stream.
func TestSlowStream(t *testing.T) {
	t.Parallel()
	const content = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
	for _, tt := range []struct {
		name string
		gap  time.Duration
		cut  bool
	}{{"slow", 10 * time.Second, true}, {"fast", 500 * time.Millisecond, false}} {
		bubble(t, func(w *world) { alone(w); w.cfg.Timeouts.Floor = 1 }, func(w *world) {
			w.east.Script(azuresim.Step{Content: content, Gap: tt.gap})
			if got := w.do(w.ask(streamed)); isCut(got.Err) != tt.cut {
				t.Errorf("%s: %+v", tt.name, got)
			}
			if _, bad := w.pool.Counted("east/gpt-4o"); (bad == 1) != tt.cut {
				t.Errorf("%s: %d faults", tt.name, bad)
			}
		})
	}
	bubble(t, func(w *world) { alone(w); w.cfg.Timeouts.Floor = 1 }, func(w *world) {
		w.east.Script(azuresim.Step{Content: content})
		answer, err := w.pool.Do(w.t.Context(), w.ask(streamed), &usage.Record{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if _, err := read(answer.Stream); err != nil {
			t.Errorf("read late it comes to %v", err)
		}
		answer.Close(nil)
	})
}

// TestNoAttemptThatCannotEnd holds that a deployment that takes 5 s as a rule is
// not asked with 3 s left.
func TestNoAttemptThatCannotEnd(t *testing.T) {
	t.Parallel()
	bubble(t, alone, func(w *world) {
		w.east.Script(repeat(azuresim.Step{Delay: 5 * time.Second}, 5)...)
		for range 5 {
			w.do(w.ask(""))
		}
		w.east.Script(azuresim.Step{Status: 503, Body: "{}"})
		call := w.ask("")
		call.Within = 3 * time.Second
		if got := w.do(call); got.Status != 503 || got.Trace != "east" || got.Took > time.Second {
			t.Errorf("came to %+v", got)
		}
	})
}

// TestLessons holds what is shown of what answers have taught.
func TestLessons(t *testing.T) {
	t.Parallel()
	bubble(t, func(w *world) {
		alone(w)
		w.east = azuresim.New(azuresim.Config{Key: key, Deployments: map[string]azuresim.Deployment{"gpt-4o": {Model: "gpt-4o-2024-11-20"}}})
	}, func(w *world) {
		w.do(w.ask(streamed))
		if s := w.state(); s.Model != "gpt-4o-2024-11-20" || len(s.Learned) != 0 {
			t.Errorf("learned %+v", s)
		}
		const refusal = `{"error":{"message":"Unsupported value: 'messages[0].role' does not support 'developer' with this model.","type":"invalid_request_error","param":"messages[0].role","code":"unsupported_value"}}`
		w.east.Script(azuresim.Step{Status: 400, Body: refusal})
		if got := w.do(w.ask("")); got.Status != 400 || got.Trace != "east" {
			t.Errorf("a refused role comes to %+v", got)
		}
		if s := w.state(); len(s.Learned) != 1 || s.Learned[0] != "no_developer_role" {
			t.Errorf("learned %+v", s)
		}
	})
}

// TestPreviews holds by which of Azure's APIs a deployment is asked where it is the
// query that names it.
func TestPreviews(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, kind, own, version string
		preview                  bool
		want                     string
	}{
		{"today's", "classic", "2025-04-01-preview", "", false, "/openai/v1/realtime?model=gpt-4o&a=b"},
		{"the deployment's preview", "classic", "2025-04-01-preview", "", true, "/openai/realtime?api-version=2025-04-01-preview&deployment=gpt-4o&a=b"},
		{"the deployment's preview before the client's", "classic", "2025-04-01-preview", "2024-10-01-preview", true, "/openai/realtime?api-version=2025-04-01-preview&deployment=gpt-4o&a=b"},
		{"the client's preview", "classic", "2024-10-21", "2024-10-01-preview", true, "/openai/realtime?api-version=2024-10-01-preview&deployment=gpt-4o&a=b"},
		{"the client's preview, of the v1 API", "v1", "v1", "2024-10-01-preview", true, "/openai/realtime?api-version=2024-10-01-preview&deployment=gpt-4o&a=b"},
		{"no preview that anybody knows", "classic", "2024-10-21", "", true, "/openai/v1/realtime?model=gpt-4o&a=b"},
		{"OpenAI's", "openai", "v1", "2024-10-01-preview", true, "/v1/realtime?model=gpt-4o&a=b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(w *world) {
				d := kinds("east")[tt.kind]
				d.APIVersion = tt.own
				w.deployments(d)
			}, func(w *world) {
				call := w.ask(`"model":"m",`)
				call.Passage = &openai.Passage{Method: http.MethodGet, Path: "realtime", Asked: true, Query: "a=b", Preview: tt.preview, Version: tt.version}
				w.do(call)
				seen := w.east.Requests()[0]
				if got := seen.Path + "?" + seen.RawQuery; got != tt.want {
					t.Errorf("asked %s, want %s", got, tt.want)
				}
			})
		})
	}
}
