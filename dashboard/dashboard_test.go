package dashboard_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/dashboard"
	"weir/usage"
)

// ended returns the record of a request that ended now, in its own words.
func ended(edit func(*usage.Record)) *usage.Record {
	r := &usage.Record{
		Start: time.Now(), RequestID: "req_1", Method: "POST", Route: "/v1/chat/completions", Team: "search", Key: "prod",
		Status: 200, Outcome: usage.OK, Model: "gpt-4o", Deployment: "east/gpt-4o",
		Input: 10, Output: 20, Cost: usage.Dollar / 100, FirstToken: 300 * time.Millisecond, Upstream: 299 * time.Millisecond,
		Attempts: []usage.Attempt{{Deployment: "east/gpt-4o", Status: 200, Sent: true, Duration: 290 * time.Millisecond}},
	}
	if edit != nil {
		edit(r)
	}
	return r
}

// ask returns what a route answers.
func ask(d *dashboard.Dashboard, method, target, body string) *httptest.ResponseRecorder {
	path, _, _ := strings.Cut(target, "?")
	w := httptest.NewRecorder()
	d.Routes()[method+" "+path].ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w
}

// read decodes what a route answers.
func read[T any](t *testing.T, d *dashboard.Dashboard, target string) (out T) {
	t.Helper()
	w := ask(d, "GET", target, "")
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s answers %d, %v\n%s", target, w.Code, err, w.Body)
	}
	return out
}

type listed struct {
	Data []dashboard.Request
	Next int64
}

// TestRequests asks for requests in every way.
func TestRequests(t *testing.T) {
	t.Parallel()
	d := dashboard.New(dashboard.Config{})
	ctx := t.Context()
	hot := 0.75
	d.Take(ctx, ended(func(r *usage.Record) { r.RequestID = "first"; r.Start = r.Start.Add(-time.Hour) }))
	d.Take(ctx, ended(func(r *usage.Record) {
		r.RequestID, r.Team, r.Key, r.Model = "second", "chat", "dev", "gpt-5"
		r.Attempts = []usage.Attempt{
			{Deployment: "west/gpt-5", Status: 500, Reason: "unicode", Sent: true, Duration: time.Second},
			{Deployment: "east/gpt-5", Status: 200, Sent: true, Temperature: &hot, Wait: 300 * time.Millisecond, Duration: time.Second},
		}
	}))
	d.Take(ctx, ended(func(r *usage.Record) {
		r.RequestID, r.Status, r.Outcome, r.Code, r.Deployment, r.Attempts = "third", 400, usage.RefusedPolicy, "special_tokens_in_input", "", nil
		r.Policy, r.Verdict[usage.SpecialTokens], r.Verdict[usage.MaxTurns] = "default", usage.Reject, usage.Pass
	}))
	d.Take(ctx, ended(func(r *usage.Record) { r.RequestID, r.Route = "health", "/livez" }))
	tests := []struct {
		name  string
		query string
		want  []string
	}{
		{"all, the newest first", "", []string{"third", "second", "first"}},
		{"of a team", "team=search", []string{"third", "first"}},
		{"of a key", "key=dev", []string{"second"}},
		{"of a model", "model=gpt-5", []string{"second"}},
		{"that a deployment was tried for", "deployment=west/gpt-5", []string{"second"}},
		{"by outcome", "outcome=refused_policy", []string{"third"}},
		{"by code", "code=special_tokens_in_input", []string{"third"}},
		{"by status", "status=200", []string{"second", "first"}},
		{"by a class of statuses", "status=4xx", []string{"third"}},
		{"of late", "since=15m", []string{"third", "second"}},
		{"since a time", "since=" + time.Now().Add(-2*time.Hour).UTC().Format(time.RFC3339), []string{"third", "second", "first"}},
		{"that mention a text", "q=eco", []string{"second"}},
		{"some", "limit=2", []string{"third", "second"}},
		{"those before", "before=3&limit=1", []string{"second"}},
		{"of nobody", "team=none", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, r := range read[listed](t, d, "/admin/v1/requests?"+tt.query).Data {
				got = append(got, r.RequestID)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	r := read[listed](t, d, "/admin/v1/requests?key=dev").Data[0]
	want := []dashboard.Attempt{
		{Deployment: "west/gpt-5", Status: 500, Reason: "unicode", Sent: true, Duration: 1000},
		{Deployment: "east/gpt-5", Status: 200, Sent: true, Temperature: &hot, Wait: 300, Duration: 1000},
	}
	if diff := cmp.Diff(want, r.Attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
	refused := read[listed](t, d, "/admin/v1/requests?limit=1")
	if diff := cmp.Diff([]dashboard.Ruling{{Rule: "special_tokens", Action: "reject"}}, refused.Data[0].Rules); diff != "" || refused.Next != 3 {
		t.Errorf("rules (-want +got), and next is %d:\n%s", refused.Next, diff)
	}
}

// TestBadQueries are refused, and say which parameter is wrong.
func TestBadQueries(t *testing.T) {
	t.Parallel()
	d := dashboard.New(dashboard.Config{})
	for target, status := range map[string]int{
		"/admin/v1/requests?temperature=1":          400,
		"/admin/v1/requests?status=9xx":             400,
		"/admin/v1/requests?status=abc":             400,
		"/admin/v1/requests?since=-1h":              400,
		"/admin/v1/requests?limit=0":                400,
		"/admin/v1/requests?limit=1001":             400,
		"/admin/v1/requests?before=x":               400,
		"/admin/v1/requests?team=a&team=b":          400,
		"/admin/v1/requests?%zz":                    400,
		"/admin/v1/teams?team=nobody":               404,
		"/admin/v1/teams?key=x":                     400,
		"/admin/v1/deployments?deployment=nothing":  400 + 4,
		"/admin/v1/config?secrets=1":                400,
		"/admin/v1/stats?since=1h":                  400,
		"/admin/v1/stream?events=everything":        400,
		"/admin/v1/stream?limit=5":                  400,
		"/admin/v1/stream?status=no":                400,
		"/admin/v1/deployments?deployment=a&x=1":    400,
		"/admin/v1/requests?since=yesterday&team=a": 400,
	} {
		if w := ask(d, "GET", target, ""); w.Code != status || !strings.Contains(w.Body.String(), "message") {
			t.Errorf("%s answers %d, want %d\n%s", target, w.Code, status, w.Body)
		}
	}
}

// TestTenThousandRequestsAreKept: more are forgotten, the oldest first, and what is
// kept is bounded whatever clients send.
func TestTenThousandRequestsAreKept(t *testing.T) {
	t.Parallel()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := dashboard.New(dashboard.Config{})
	for i := range 25_000 {
		d.Take(t.Context(), ended(func(r *usage.Record) {
			name := fmt.Sprintf("name-%d", i)
			r.RequestID, r.Team, r.Key, r.Model = name, name, name, name
			for range 3 {
				r.Attempts = append(r.Attempts, usage.Attempt{Deployment: name, Status: 429, Reason: "429"})
			}
		}))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	const most = 40 << 20
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > most {
		t.Errorf("%d MiB are used, want %d at most", used>>20, most>>20)
	} else {
		t.Logf("%d KiB are used", used>>10)
	}
	n, last := 0, "name-24999"
	for before := int64(0); ; {
		page := read[listed](t, d, fmt.Sprintf("/admin/v1/requests?limit=1000&before=%d", max(before, 1<<40*min(1, max(0, 1-before)))))
		if n == 0 && page.Data[0].RequestID != last {
			t.Errorf("the newest is %s, want %s", page.Data[0].RequestID, last)
		}
		if n += len(page.Data); page.Next == 0 {
			last = page.Data[len(page.Data)-1].RequestID
			break
		}
		before = page.Next
	}
	if n != 10_000 || last != "name-15000" {
		t.Errorf("%d are kept, the oldest %s; want 10000, the oldest name-15000", n, last)
	}
}

// TestStats adds up a minute of requests.
func TestStats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dashboard.New(dashboard.Config{
			Version: "v1", Began: time.Now(),
			State: func() string { return "draining" }, Live: func() dashboard.Live { return dashboard.Live{Requests: 3, Streams: 2} },
			Settings: func() dashboard.Settings { return dashboard.Settings{Hash: "abcd", OK: true} },
			Teams: func(context) []dashboard.Team {
				return []dashboard.Team{{Name: "search", Limits: []dashboard.Limit{{Name: "rpm", Most: 600, Burst: 600, Left: 540}}}, {Name: "quiet"}}
			},
			Deployments: func() []dashboard.Deployment {
				return []dashboard.Deployment{
					{Name: "east/gpt-4o", State: "closed", Azure: dashboard.Left{Tokens: 100, Requests: -1}, Twin: dashboard.Left{Tokens: -1, Requests: -1}},
					{Name: "west/gpt-4o", State: "open", Probe: 9 * time.Second, Azure: dashboard.Left{Tokens: -1, Requests: -1}, Twin: dashboard.Left{Tokens: -1, Requests: -1}},
				}
			},
			SpentToday: func(context) usage.USD { return 214 * usage.Dollar },
		})
		for i := range 60 {
			time.Sleep(time.Second)
			d.Take(t.Context(), ended(func(r *usage.Record) {
				switch {
				case i%10 == 0:
					r.Outcome, r.Status, r.Limit, r.Attempts, r.FirstToken, r.Input, r.Output = usage.RefusedLimit, 429, usage.RequestLimit, nil, 0, 0, 0
				case i%10 == 5:
					r.Attempts = append([]usage.Attempt{{Deployment: "west/gpt-4o", Status: 429, Reason: "429", Sent: true}}, r.Attempts...)
				case i == 59:
					r.Outcome, r.Status = usage.UpstreamError, 502
				}
			}))
		}
		s := read[dashboard.Stats](t, d, "/admin/v1/stats?series=1")
		if s.State != "draining" || s.Config.Hash != "abcd" || s.Rates.Streams != 2 || s.Rates.Spent != 214 {
			t.Errorf("it tells %+v", s)
		}
		if r := s.Rates; r.Requests < 0.9 || r.Requests > 1.1 || r.Errors == nil || *r.Errors < 0.016 || *r.Errors > 0.018 ||
			r.FirstToken == nil || *r.FirstToken < 270 || *r.FirstToken > 340 || r.Overhead == nil || *r.Overhead < 0.9 || *r.Overhead > 1.2 {
			t.Errorf("the rates are %+v", r)
		}
		team := s.Teams[0]
		if team.Refused != 6 || team.Reasons["rpm"] != 6 || team.Served != 60 || team.Failed != 1 || team.Requests < 54 || team.Requests > 66 {
			t.Errorf("the team has %+v", team)
		}
		if s.Teams[1].Served != 0 || s.Teams[1].FirstToken != nil {
			t.Errorf("the quiet team has %+v", s.Teams[1])
		}
		east, west := s.Deployments[0], s.Deployments[1]
		if east.P95 == nil || *east.P95 < 260 || *east.P95 > 330 || east.Azure == nil || east.Azure.Tokens != 100 || east.Twin != nil {
			t.Errorf("east has %+v", east)
		}
		if west.State != "open" || west.Probe != 9 || west.Throttled != 6 || west.P95 != nil {
			t.Errorf("west has %+v", west)
		}
		sum := 0.
		for _, x := range s.Series.Requests["ok"] {
			sum += 10 * x
		}
		if sum < 45 || sum > 53 || len(s.Series.Tokens["search"]) != 359 {
			t.Errorf("the plot has %v requests and %d steps", sum, len(s.Series.Tokens["search"]))
		}
		time.Sleep(2 * time.Hour)
		if s := read[dashboard.Stats](t, d, "/admin/v1/stats"); s.Rates.Requests != 0 || s.Rates.Errors != nil || s.Teams[0].Served != 0 || s.Series != nil {
			t.Errorf("two hours later it tells %+v", s)
		}
	})
}

// TestHistory: the states of a deployment are looked at once a second.
func TestHistory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		is := dashboard.Deployment{Name: "east/gpt-4o", State: "closed"}
		d := dashboard.New(dashboard.Config{Deployments: func() []dashboard.Deployment {
			mu.Lock()
			defer mu.Unlock()
			return []dashboard.Deployment{is}
		}})
		ctx, stop := withCancel(t.Context())
		done := make(chan struct{})
		go func() { d.Watch(ctx); close(done) }()
		step := func(edit func()) {
			time.Sleep(2300 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			edit()
		}
		began := time.Now()
		step(func() { is.Rest, is.Why, is.State = 4*time.Second, "429", "resting" })
		step(func() { is.Rest, is.Why, is.State = 0, "", "open" })
		step(func() { is.State = "half_open" })
		step(func() { is.State = "closed" })
		time.Sleep(2 * time.Second)
		stop()
		<-done
		type change struct {
			After      time.Duration
			State, Why string
		}
		var got []change
		for _, c := range read[dashboard.PlaceDetail](t, d, "/admin/v1/deployments?deployment=east/gpt-4o").History {
			got = append(got, change{c.At.Sub(began), c.State, c.Why})
		}
		want := []change{{10 * time.Second, "closed", ""}, {7 * time.Second, "half_open", ""}, {5 * time.Second, "open", ""}, {3 * time.Second, "resting", "429"}, {0, "closed", ""}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		for range 1000 {
			is.State = map[string]string{"closed": "open", "open": "closed"}[is.State]
			ctx, stop := withCancel(t.Context())
			stop()
			d.Watch(ctx)
		}
		if n := len(read[dashboard.PlaceDetail](t, d, "/admin/v1/deployments?deployment=east/gpt-4o").History); n != 200 {
			t.Errorf("%d changes are kept, want 200", n)
		}
	})
}

// TestTeamDetail tells which keys a team's requests came with.
func TestTeamDetail(t *testing.T) {
	t.Parallel()
	d := dashboard.New(dashboard.Config{Teams: func(context) []dashboard.Team { return []dashboard.Team{{Name: "search"}} }})
	for range 3 {
		d.Take(t.Context(), ended(nil))
	}
	d.Take(t.Context(), ended(func(r *usage.Record) { r.Key, r.Input = "batch", 5000 }))
	d.Take(t.Context(), ended(func(r *usage.Record) { r.Team, r.Key = "others", "foreign" }))
	got := read[dashboard.TeamDetail](t, d, "/admin/v1/teams?team=search")
	var keys []string
	for _, k := range got.Keys {
		keys = append(keys, fmt.Sprintf("%s %d %d", k.Key, k.Requests, k.Input))
	}
	if diff := cmp.Diff([]string{"batch 1 5000", "prod 3 30"}, keys); diff != "" || got.Name != "search" || got.Series == nil {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func BenchmarkTake(b *testing.B) {
	d := dashboard.New(dashboard.Config{})
	r := ended(nil)
	b.ReportAllocs()
	for b.Loop() {
		d.Take(b.Context(), r)
	}
}

// TestTakeIsCheap: nothing is allocated for a request once the ring is full.
func TestTakeIsCheap(t *testing.T) {
	d := dashboard.New(dashboard.Config{})
	r := ended(nil)
	for range 10_001 {
		d.Take(t.Context(), r)
	}
	if n := testing.AllocsPerRun(1000, func() { d.Take(t.Context(), r) }); n > 0 {
		t.Errorf("a request costs %v allocations", n)
	}
}
