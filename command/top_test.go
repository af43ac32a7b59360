package command

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"weir/dashboard"
)

// watched is an overview with everything in it.
func watched() dashboard.Stats {
	p := func(x float64) *float64 { return &x }
	return dashboard.Stats{
		Object: "weir.stats", Version: "v1.2.0", State: "ok", Now: time.Date(2026, 3, 31, 12, 0, 5, 0, time.UTC),
		Config: dashboard.Serving{Hash: "7f3a21", OK: true},
		Rates: dashboard.Rates{
			Requests: 41.2, Errors: p(0.004), FirstToken: p(312), Overhead: p(0.21), Spent: 214.7, Live: dashboard.Live{Requests: 20, Streams: 18},
		},
		Teams: []dashboard.TeamRow{
			{Team: dashboard.Team{Name: "search", Limits: []dashboard.Limit{
				{Name: "rpm", Most: 600, Burst: 600, Left: 400},
				{Name: "tpm", Most: 300_000, Burst: 300_000, Left: 100_000},
				{Name: "budget", Most: 2000, Burst: 2000, Left: 1180, Period: "month"},
			}}, Requests: 372, Tokens: 213_000, FirstToken: p(290)},
			{Team: dashboard.Team{Name: "support-bot", Limits: []dashboard.Limit{
				{Name: "rpm", Most: 60, Burst: 60, Left: 0}, {Name: "budget", Most: 150, Burst: 150, Left: 21},
			}}, Requests: 56, Tokens: 20_123, Refused: 214, FirstToken: p(410)},
			{Team: dashboard.Team{Name: "team-with-a-very-long-name-\x1b[31m-and-more"}},
		},
		Deployments: []dashboard.PlaceRow{
			{Name: "eastus2/gpt-4o-ptu", State: "closed", InFlight: 31, P95: p(270)},
			{Name: "eastus2/gpt-4o", State: "resting", Rest: 5.2, Why: "429", Throttled: 12, P95: p(1350), Azure: &dashboard.Left{Tokens: 0, Requests: -1}},
			{Name: "swedencentral/gpt-4o", State: "open", Probe: 9, Azure: &dashboard.Left{Tokens: 118_000, Requests: -1}},
			{Name: "spain/gpt-4o", State: "half_open"},
		},
	}
}

// TestTopDraws holds the overview to what it looks like.
func TestTopDraws(t *testing.T) {
	t.Parallel()
	got := look{width: 80}.draw(watched(), "")
	want := document(t, "command", "testdata", "top-80.txt")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("80 columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(document(t, "command", "testdata", "top-40.txt"), look{width: 40}.draw(watched(), "asking http://127.0.0.1:8081: connection refused")); diff != "" {
		t.Errorf("40 columns (-want +got):\n%s", diff)
	}
	for _, width := range []int{20, 40, 60, 80, 100, 200} {
		for line := range strings.Lines(look{width: width}.draw(watched(), strings.Repeat("long ", 60))) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width && width >= 40 {
				t.Errorf("%d columns: a line has %d: %q", width, n, line)
			}
		}
	}
}

// TestTopColors: colors change nothing else, and names bring none.
func TestTopColors(t *testing.T) {
	t.Parallel()
	colored := look{width: 80, color: true}.draw(watched(), "a problem")
	plain := colored
	for _, code := range []string{bold, faint, green, yellow, red, "0"} {
		plain = strings.ReplaceAll(plain, "\x1b["+code+"m", "")
	}
	if diff := cmp.Diff(look{width: 80}.draw(watched(), "a problem"), plain); diff != "" {
		t.Errorf("without its colors (-want +got):\n%s", diff)
	}
	for _, want := range []string{"\x1b[33mresting 6 s (429)\x1b[0m", "\x1b[31mopen, probe in 9 s\x1b[0m", "\x1b[32mclosed\x1b[0m", "\x1b[33m214\x1b[0m"} {
		if !strings.Contains(colored, want) {
			t.Errorf("there is no %q in\n%q", want, colored)
		}
	}
	if strings.Contains(colored, "name-\x1b") {
		t.Error("a name brings its own color")
	}
}

// TestTopFits: a screen has some of the teams and some of the deployments, those that
// matter, however many there are.
func TestTopFits(t *testing.T) {
	t.Parallel()
	st := watched()
	for i := range 200 {
		st.Teams = append(st.Teams, dashboard.TeamRow{Team: dashboard.Team{Name: fmt.Sprintf("team-%03d", i)}})
		st.Deployments = append(st.Deployments, dashboard.PlaceRow{Name: fmt.Sprintf("sim/dep-%03d", i), State: "closed"})
	}
	st.Teams[150].Requests, st.Deployments[150].State = 1000, "open"
	for height := 24; height < 60; height++ {
		got := look{width: 80, height: height, terminal: true}.draw(st, "")
		if lines := strings.Count(got, "\n"); lines >= height || lines < height-2 {
			t.Errorf("%d lines on a screen of %d:\n%s", lines, height, got)
		}
		for _, want := range []string{st.Teams[150].Name, st.Deployments[150].Name, "less busy"} {
			if !strings.Contains(got, want) {
				t.Errorf("on a screen of %d lines there is no %q:\n%s", height, want, got)
			}
		}
	}
	got := look{width: 80, height: 60, terminal: true}.draw(watched(), "")
	if want := (look{width: 80}).draw(watched(), ""); got != want {
		t.Errorf("what fits (-want +got):\n%s", cmp.Diff(want, got))
	}
}

// TestTopLowScreen: on a screen that is too low for all no color goes on behind a frame,
// and nothing is said of teams that there are not.
func TestTopLowScreen(t *testing.T) {
	t.Parallel()
	st := watched()
	for i := range 60 {
		st.Teams = append(st.Teams, dashboard.TeamRow{Team: dashboard.Team{Name: fmt.Sprintf("team-%03d", i)}})
		st.Deployments = append(st.Deployments, dashboard.PlaceRow{Name: fmt.Sprintf("sim/dep-%03d", i), State: "closed"})
	}
	alone := st
	alone.Teams = nil
	for height := 2; height < 60; height++ {
		l := look{width: 80, height: height, color: true, terminal: true}
		for line := range strings.Lines(l.frame(l.draw(st, ""))) {
			if strings.Count(line, "\x1b[0m")*2 != strings.Count(line, "\x1b[")-strings.Count(line, eraseLine)-strings.Count(line, fromTop)-strings.Count(line, eraseBelow) {
				t.Errorf("on a screen of %d lines a color goes on: %q", height, line)
			}
		}
		if got := l.frame(l.draw(alone, "")); strings.Contains(got, "and 0 ") {
			t.Errorf("on a screen of %d lines:\n%s", height, got)
		}
	}
}

// TestTopFrame: a frame is drawn in the place of the one before, and no line of it
// makes the screen scroll.
func TestTopFrame(t *testing.T) {
	t.Parallel()
	got := look{width: 80, height: 5, terminal: true}.frame("1\n2\n3\n4\n5\n6\n")
	if diff := cmp.Diff("\x1b[H\x1b[K1\n\x1b[K2\n\x1b[K3\n\x1b[K4\n\x1b[J", got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := (look{width: 80, height: 5, terminal: true}); !strings.Contains(got.frame(got.draw(watched(), "no answer")), "no answer") {
		t.Error("on a low screen it does not say that the gateway is away")
	}
	if got := (look{width: 80}).frame("1\n"); got != "1\n\n" {
		t.Errorf("where there is no terminal it is %q", got)
	}
}

// TestTopTellsNamesApart: deployments of one backend do not look alike on a narrow
// screen.
func TestTopTellsNamesApart(t *testing.T) {
	t.Parallel()
	st := dashboard.Stats{}
	for _, name := range []string{"gpt-4o", "gpt-4o-ptu", "gpt-5", "text-embedding-3-small", "whisper-1"} {
		st.Deployments = append(st.Deployments, dashboard.PlaceRow{Name: "simulated/" + name, State: "closed"})
	}
	var names []string
	for line := range strings.Lines(look{width: 40}.draw(st, "")) {
		if name, rest, _ := strings.Cut(line, " "); strings.Contains(rest, "closed") {
			names = append(names, name)
		}
	}
	if slices.Sort(names); len(slices.Compact(names)) != len(st.Deployments) {
		t.Errorf("of %d deployments there are %q", len(st.Deployments), names)
	}
}

// TestTopOnce asks a gateway, with its token, and draws what it answers.
func TestTopOnce(t *testing.T) {
	alone(t)
	g := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+adminToken {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":{"message":"The admin token is missing or wrong."}}`))
			return
		}
		_ = json.NewEncoder(w).Encode(watched())
	}))
	defer g.Close()
	if r := weir(t, "", "top", "--once", "--url", g.URL); r.code != exitError || !strings.Contains(r.err, "401: The admin token is missing or wrong.") {
		t.Errorf("without the token it ends with %d\n%s", r.code, r.err)
	}
	for name, args := range map[string][]string{"as a flag": {"--token", adminToken}, "in the environment": nil} {
		if args == nil {
			t.Setenv("WEIR_ADMIN_TOKEN", adminToken)
		}
		r := weir(t, "", append([]string{"top", "--once", "--url", g.URL + "/"}, args...)...)
		if diff := cmp.Diff(look{width: 80}.draw(watched(), ""), r.out); diff != "" || r.code != exitOK {
			t.Errorf("%s: it ends with %d\n%s\n(-want +got):\n%s", name, r.code, r.err, diff)
		}
	}
	if r := weir(t, "", "top", "--url", "localhost"); r.code != exitUsage {
		t.Errorf("a URL that is none ends with %d", r.code)
	}
	if r := weir(t, "", "top", "--once", "--url", "http://127.0.0.1:1"); r.code != exitError || !strings.Contains(r.err, "asking http://127.0.0.1:1") {
		t.Errorf("a gateway that is not there ends with %d\n%s", r.code, r.err)
	}
}

// TestTopGoesOn: where one question is not answered the overview stays, and says so.
func TestTopGoesOn(t *testing.T) {
	alone(t)
	asked, twice := 0, make(chan struct{})
	g := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 3 {
			close(twice)
		}
		if asked > 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(w).Encode(watched())
	}))
	defer g.Close()
	var out, errs bytes.Buffer
	s := &streams{in: strings.NewReader(""), out: &out, err: &errs}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		<-twice
		stop()
	}()
	if code := s.main(ctx, []string{"top", "--url", g.URL}); code != exitOK {
		t.Errorf("it ends with %d\n%s", code, errs.String())
	}
	if text := out.String(); strings.Count(text, "support-bot") < 2 || !strings.Contains(text, "answered 502") || strings.Contains(text, "\x1b") {
		t.Errorf("it draws %q", text)
	}
}
