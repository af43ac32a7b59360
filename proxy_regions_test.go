package main_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/azuresim"
)

// pinned are the edits that put the plain gateway's resources into two regions, and
// keep the team search to one of them. The model d2 is in the other.
func pinned() []string {
	return []string{
		"east: {", "east: { region: eu,", "west: {", "west: { region: us,", `owner: "#search"`, "regions: [eu]",
		"resilience:\n", "resilience:\n  breaker: { consecutive_failures: 1 }\n",
	}
}

// TestRegions holds that what a team sends goes to its regions alone, whatever
// happens there, and that another team is served beside it by all of them.
func TestRegions(t *testing.T) {
	t.Parallel()
	const sec = time.Second
	after := func(names ...string) []azuresim.Step { return steps(names...) }
	tests := []struct {
		name   string
		body   string
		east   []azuresim.Step
		before int // calls that come first, to meet the first steps
		status int
		code   string
		calls  int // of them all
		leave  time.Duration
	}{
		{name: "served", body: say("hello"), status: 200, calls: 1},
		{name: "served, stream", body: say("hello", stream), status: 200, calls: 1},
		{name: "429", body: say("hello"), east: after("rate-limit 20 s"), status: 429, code: "429", calls: 1},
		{name: "429, stream", body: say("hello", stream), east: after("rate-limit 20 s"), status: 429, code: "429", calls: 1},
		{name: "it rests", body: say("hello"), east: after("rate-limit 20 s"), before: 1, status: 429, code: "rate_limit_exceeded", calls: 1},
		{name: "503", body: say("hello"), east: after("unavailable", "unavailable", "unavailable"), status: 503, code: "service_unavailable", calls: 1},
		{name: "its breaker is open", body: say("hello"), east: after("unavailable"), before: 1, status: 503, code: "no_healthy_deployment", calls: 1},
		{name: "no connection", body: say("hello"), east: after("close-after-read"), status: 502, code: "upstream_unreachable", calls: 1},
		{name: "its key is refused", body: say("hello"), east: after("bad-key"), status: 502, code: "upstream_auth_failed", calls: 1},
		{name: "an error in the first event", body: say("hello", stream), east: after("server-error-stream"), status: 500, calls: 1},
		{name: "a cured 500", body: say("hello"), east: after("unicode-500"), status: 200, calls: 2},
		{name: "a slow one", body: say("hello"), east: []azuresim.Step{{Hang: true}}, leave: 20 * sec, calls: 1},
		{name: "a model of another region", body: of("d2", say("hello")), status: 404, code: "model_not_found"},
		{name: "a model of another region, stream", body: of("d2", say("hello", stream)), status: 404, code: "model_not_found"},
		{name: "another region's deployment by its name", body: of("gpt-4o-west", say("hello")), status: 200, calls: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				w.east.Script(tt.east...)
				for range tt.before {
					w.chat(tt.body)
				}
				ctx := w.t.Context()
				if tt.leave > 0 {
					var leave context.CancelFunc
					ctx, leave = context.WithTimeout(ctx, tt.leave)
					defer leave()
				}
				got := w.do(ctx, http.MethodPost, openAIPath, tt.body)
				if code, _, _ := got.code(); got.status != tt.status || code != tt.code {
					t.Errorf("%d %q, want %d %q: %s", got.status, code, tt.status, tt.code, got.body)
				}
				if tt.status == http.StatusNotFound && (!strings.Contains(got.message(), "regions") || !strings.Contains(got.message(), "eu")) {
					t.Errorf("it says %q", got.message())
				}
				if n := len(w.asked()); n != tt.calls || len(w.west.Requests()) > 0 {
					t.Errorf("%d calls, want %d; %d of them in the other region", n, tt.calls, len(w.west.Requests()))
				}
				if got := w.chat(of("gpt-35-turbo", say("hello")), "Authorization", "Bearer "+otherKey); tt.east == nil && got.status != http.StatusOK {
					t.Errorf("the other team: %d %s", got.status, got.body)
				}
			}, pinned()...)
		})
	}
}

// TestRegionsOfOthers holds that a team without regions goes wherever there is
// room, while one beside it may not.
func TestRegionsOfOthers(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		w.east.Script(steps("rate-limit 20 s")...)
		free, kept := []string{"Authorization", "Bearer " + otherKey}, []string(nil)
		for _, tt := range []struct {
			header []string
			status int
		}{{free, 200}, {kept, 429}, {free, 200}} {
			if got := w.chat(say("hello"), tt.header...); got.status != tt.status {
				t.Errorf("%d, want %d: %s", got.status, tt.status, got.body)
			}
		}
		if e, o := len(w.east.Requests()), len(w.west.Requests()); e != 1 || o != 2 {
			t.Errorf("%d calls in the one, %d in the other", e, o)
		}
		time.Sleep(20 * time.Second)
		if got := w.chat(say("hello")); got.status != http.StatusOK {
			t.Errorf("once it rests no more: %d %s", got.status, got.body)
		}
	}, append(pinned(), "models: [gpt-35-turbo]", "models: [gpt-35-turbo, gpt-4o]")...)
}

// TestRegionsAreExplained holds that an explanation names the deployments that a
// team may not use, and why.
func TestRegionsAreExplained(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for body, want := range map[string]map[string]string{
			say("hello"):           {"east/gpt-4o-east": "chosen", "west/gpt-4o-west": "it is not in a region that the team may use: eu"},
			of("d2", say("hello")): {"west/d2": "it is not in a region that the team may use: eu"},
		} {
			got := w.chat(body, "X-Weir-Explain", "1")
			var out struct {
				Deployments []struct {
					Deployment, Reason string
					Chosen             bool
				}
			}
			if err := json.Unmarshal([]byte(got.body), &out); err != nil {
				t.Fatal(err)
			}
			for _, d := range out.Deployments {
				if d.Chosen {
					d.Reason = "chosen"
				}
				if d.Reason != want[d.Deployment] {
					t.Errorf("%s: %q, want %q", d.Deployment, d.Reason, want[d.Deployment])
				}
			}
			if len(out.Deployments) != len(want) || len(w.asked()) > 0 {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
	}, pinned()...)
}
