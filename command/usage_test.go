package command

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weir/usage"
)

// TestUsageQuery is what may be asked, and what is said of what may not.
func TestUsageQuery(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 29, 10, 20, 30, 999, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) time.Time {
		moment, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	month := usage.Query{By: []string{"team"}, Zone: time.UTC, Since: at("2026-03-01T00:00:00Z"), Until: at("2026-03-29T10:20:30Z")}
	tests := []struct {
		name  string
		query string
		want  func(q *usage.Query) // of month; nil: refused
		says  string
	}{
		{"nothing", "", func(*usage.Query) {}, ""},
		{"empty", "by=&since=&until=&team=&format=&zone=", func(*usage.Query) {}, ""},
		{"names", "team=a&key=b&model=c&deployment=d/e", func(q *usage.Query) { q.Team, q.Key, q.Model, q.Deployment = "a", "b", "c", "d/e" }, ""},
		{"by several", "by=model,%20day", func(q *usage.Query) { q.By = []string{"model", "day"} }, ""},
		{"how long ago", "since=30d", func(q *usage.Query) { q.Since = at("2026-02-27T10:15:00Z") }, ""},
		{"from and to how long ago", "since=24h&until=90m", func(q *usage.Query) { q.Since, q.Until = at("2026-03-28T10:15:00Z"), at("2026-03-29T09:00:00Z") }, ""},
		{"days", "since=2026-03-01&until=2026-03-02", func(q *usage.Query) { q.Until = at("2026-03-03T00:00:00Z") }, ""},
		{"times", "since=2026-03-01T12:01:00%2B02:00&until=2026-03-01T11:00:00Z", func(q *usage.Query) { q.Since, q.Until = at("2026-03-01T10:00:00Z"), at("2026-03-01T11:00:00Z") }, ""},
		{"a day on which clocks change", "since=2026-03-29&until=2026-03-29&zone=Europe/Berlin", func(q *usage.Query) {
			q.Zone, q.Since, q.Until = berlin, at("2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z")
		}, ""},
		{"this month in a zone", "zone=Europe/Berlin", func(q *usage.Query) { q.Zone, q.Since = berlin, at("2026-02-28T23:00:00Z") }, ""},

		{"a name that is none", "tema=a", nil, `There is no parameter "tema". There are by, since, until, team,`},
		{"a name twice", "team=a&team=b", nil, "team is given more than once"},
		{"by what is not there", "by=team,color", nil, `by cannot be "color". Use one or more of team, key, model, deployment, day, hour`},
		{"by nothing", "by=team,,model", nil, `by cannot be ""`},
		{"by one twice", "by=team,team", nil, "by names team twice"},
		{"by two times", "by=day,hour", nil, "both day and hour"},
		{"no time", "since=yesterday", nil, `since cannot be "yesterday": use a time such as 2026-03-31T12:00:00Z`},
		{"the future", "since=-5m", nil, `since cannot be "-5m"`},
		{"no day", "until=2026-02-30", nil, `until cannot be "2026-02-30"`},
		{"backwards", "since=2026-03-05&until=2026-03-04", nil, "no time between them"},
		{"from now", "since=0s", nil, "no time between them"},
		{"no zone", "zone=Mars/Olympus", nil, `zone cannot be "Mars/Olympus"`},
		{"the server's own zone", "zone=Local", nil, `zone cannot be "Local"`},
		{"a file for a zone", "zone=../../etc/passwd", nil, "zone cannot be"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			values, err := url.ParseQuery(tt.query)
			if err != nil {
				t.Fatal(err)
			}
			got, wrong := newUsageQuery(values, now)
			if tt.want == nil {
				if wrong == nil || wrong.Status != http.StatusBadRequest || !strings.Contains(wrong.Message, tt.says) {
					t.Errorf("it says %v, want %q", wrong, tt.says)
				}
				return
			}
			if wrong != nil {
				t.Fatal(wrong)
			}
			want := month
			tt.want(&want)
			same := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
			if diff := cmp.Diff(want, got.query, same); diff != "" {
				t.Errorf("newUsageQuery(%q) (-want +got):\n%s", tt.query, diff)
			}
		})
	}
}

// spend enters requests that were made an hour ago, or at the time that is given.
func spend(t *testing.T, g *Gateway, at time.Time) {
	t.Helper()
	for _, r := range []usage.Record{
		{Team: "search", Key: "prod", Model: "gpt-4o", Deployment: "east/gpt-4o", Outcome: usage.OK, Input: 1_234_567, Cached: 7, Output: 89, Reasoning: 8, Cost: 1234*usage.Dollar + 567_000_001},
		{Team: "search", Key: "dev", Model: "gpt-5", Deployment: "west/gpt-5", Outcome: usage.UpstreamError, Input: 10, Output: 1, Cost: 25 * usage.Dollar / 10},
		{Team: "bot", Key: "bot", Model: `=1+1,"x"`, Outcome: usage.RefusedLimit, Cost: 1},
	} {
		r.Start = at
		g.state.ledger.Take(t.Context(), &r)
	}
}

// TestUsageAnswer is what GET /admin/v1/usage answers.
func TestUsageAnswer(t *testing.T) {
	t.Parallel()
	g := administered(t, "", io.Discard)
	spend(t, g, time.Date(2026, 3, 1, 23, 10, 0, 0, time.UTC))
	const since = "since=2026-03-01&until=2026-03-02"
	tests := []struct {
		name   string
		query  string
		accept string
		kind   string
		want   string
	}{
		{
			"by team", since, "", "application/json",
			`{"object":"list","since":"2026-03-01T00:00:00Z","until":"2026-03-03T00:00:00Z","zone":"UTC","by":["team"],"data":[` +
				`{"team":"bot","requests":1,"errors":0,"refused":1,"unsettled":0,"open":0,"input_tokens":0,"cached_tokens":0,"output_tokens":0,"reasoning_tokens":0,"cost_usd":0.000000001,"held_usd":0.00},` +
				`{"team":"search","requests":2,"errors":1,"refused":0,"unsettled":0,"open":0,"input_tokens":1234577,"cached_tokens":7,"output_tokens":90,"reasoning_tokens":8,"cost_usd":1237.067000001,"held_usd":0.00}]}`,
		},
		{
			"by day in a zone, of one key", since + "&by=day,deployment&zone=Europe/Berlin&key=prod", "application/json, text/csv;q=0.5", "application/json",
			`{"object":"list","since":"2026-03-01T00:00:00+01:00","until":"2026-03-03T00:00:00+01:00","zone":"Europe/Berlin","by":["day","deployment"],"data":[` +
				`{"deployment":"east/gpt-4o","day":"2026-03-02","requests":1,"errors":0,"refused":0,"unsettled":0,"open":0,"input_tokens":1234567,"cached_tokens":7,"output_tokens":89,"reasoning_tokens":8,"cost_usd":1234.567000001,"held_usd":0.00}]}`,
		},
		{
			"by hour, of a team", since + "&by=hour&team=bot", "*/*", "application/json",
			`{"object":"list","since":"2026-03-01T00:00:00Z","until":"2026-03-03T00:00:00Z","zone":"UTC","by":["hour"],"data":[` +
				`{"hour":"2026-03-01T23:00:00Z","requests":1,"errors":0,"refused":1,"unsettled":0,"open":0,"input_tokens":0,"cached_tokens":0,"output_tokens":0,"reasoning_tokens":0,"cost_usd":0.000000001,"held_usd":0.00}]}`,
		},
		{"nothing", "since=2026-03-05&until=2026-03-06", "", "application/json", `{"object":"list","since":"2026-03-05T00:00:00Z","until":"2026-03-07T00:00:00Z","zone":"UTC","by":["team"],"data":[]}`},
		{
			"as CSV", since + "&by=deployment,model&format=csv", "application/json", "text/csv; charset=utf-8; header=present",
			"deployment,model,requests,errors,refused,unsettled,open,input_tokens,cached_tokens,output_tokens,reasoning_tokens,cost_usd,held_usd\n" +
				`,"'=1+1,""x""",1,0,1,0,0,0,0,0,0,0.000000001,0.00` + "\n" +
				"east/gpt-4o,gpt-4o,1,0,0,0,0,1234567,7,89,8,1234.567000001,0.00\n" +
				"west/gpt-5,gpt-5,1,1,0,0,0,10,0,1,0,2.50,0.00\n",
		},
		{
			"as CSV where it is liked", since + "&team=bot", "text/csv, application/json;q=0.9", "text/csv; charset=utf-8; header=present",
			"team,requests,errors,refused,unsettled,open,input_tokens,cached_tokens,output_tokens,reasoning_tokens,cost_usd,held_usd\n" +
				"bot,1,0,1,0,0,0,0,0,0,0.000000001,0.00\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := called(g, http.MethodGet, "/admin/v1/usage?"+tt.query, func(r *http.Request) { r.Header.Set("Accept", tt.accept) })
			got := w.Body.String()
			if strings.HasPrefix(tt.kind, "application/json") {
				var b bytes.Buffer
				if err := json.Compact(&b, w.Body.Bytes()); err != nil {
					t.Fatalf("%v\n%s", err, got)
				}
				got = b.String()
			}
			if diff := cmp.Diff([]string{"200", tt.kind, tt.want}, []string{strconv.Itoa(w.Code), w.Header().Get("Content-Type"), got}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.query, diff)
			}
		})
	}
	for query, says := range map[string]string{"by=color": `by cannot be \"color\"`, "format=xml": "Use json or csv", "x=1": `no parameter \"x\"`} {
		if w := called(g, http.MethodGet, "/admin/v1/usage?"+query, nil); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s is answered %d\n%s", query, w.Code, w.Body)
		}
	}
}

// TestNoCellIsAFormula writes any name as CSV: it stays one cell, and no spreadsheet
// computes it.
func TestNoCellIsAFormula(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		begins := rapid.SampledFrom([]string{"", "=", "+", "-", "@", "\t", "\r", "\n", "'", `"`, ","}).Draw(t, "begins")
		name := begins + rapid.String().Draw(t, "name")
		var b strings.Builder
		list := usageList{By: []string{"model"}, Data: []usageRow{{Model: &name}}}
		if err := writeCSV(&b, list); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != len(rows[0]) {
			t.Fatalf("%q is written as %q: %v", name, b.String(), err)
		}
		if cell := rows[1][0]; cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
			t.Errorf("%q is written as %q", name, cell)
		}
	})
}

// TestMoneyInJSON reads any amount back to the last digit.
func TestMoneyInJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := money(rapid.Int64().Draw(t, "amount"))
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got money
		if err := json.Unmarshal(b, &got); err != nil || got != want {
			t.Errorf("%d is written as %s and read as %d, %v", want, b, got, err)
		}
	})
	for _, text := range []string{`"1.00"`, "1.0000000001", "1e3", "null", "{}", "99999999999999.00"} {
		if err := new(money).UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is read as an amount", text)
		}
	}
}

// TestUsageTable is what people see.
func TestUsageTable(t *testing.T) {
	t.Parallel()
	row := func(team string, requests int64, cost usage.USD) usageRow {
		return usageRow{Team: &team, Requests: requests, Errors: 3, Refused: 1_002, Input: 12_345_678_901, Output: 999, Cost: money(cost)}
	}
	long := strings.Repeat("long-", 12) + "name"
	list := usageList{
		Since: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 3, 29, 10, 20, 0, 0, time.UTC), Zone: "UTC", By: []string{"team"},
		Data: []usageRow{row("cheap", 1_000, usage.Dollar/1000), row("dear", 20, 1_234_567*usage.Dollar+usage.Dollar*994/1000), row("", 0, 0)},
	}
	list.Data[1].Open, list.Data[1].Held = 2, money(usage.Dollar/2)
	list.Data[0].Unsettled = 1_500
	const want = `Usage from 2026-03-01 00:00 to 2026-03-29 10:20, UTC

TEAM   REQUESTS  ERRORS  REFUSED           INPUT  OUTPUT           COST
dear         20       3    1,002  12,345,678,901     999  $1,234,567.99
cheap     1,000       3    1,002  12,345,678,901     999         <$0.01
-             0       3    1,002  12,345,678,901     999          $0.00
total     1,020       9    3,006  37,037,036,703   2,997  $1,234,568.00

2 open, and $0.50 held for what they may cost.

1,500 of a process that died, charged at what was reserved.
`
	var b strings.Builder
	if err := writeTable(&b, list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("the table (-want +got):\n%s", diff)
	}
	list.Data = append(list.Data, row(long, 1, 0), row("bell\a\x1b[31m", 1, 0))
	b.Reset()
	if err := writeTable(&b, list); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > screen || strings.ContainsAny(line, "\a\x1b") {
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
	if !strings.Contains(b.String(), "\nlong-") || !strings.Contains(b.String(), "…") {
		t.Errorf("the long name is not clipped:\n%s", b.String())
	}
}

// TestUsageTableGoesByTime sorts by the time first, and in it by the cost. In the
// night that the clocks go back, an hour comes twice.
func TestUsageTableGoesByTime(t *testing.T) {
	t.Parallel()
	hours := []string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T01:00:00+02:00"}
	list := usageList{By: []string{"hour"}}
	for i := range hours {
		list.Data = append(list.Data, usageRow{Hour: &hours[i], Cost: 1}, usageRow{Hour: &hours[i], Cost: money(usage.Dollar)})
	}
	var b strings.Builder
	if err := writeTable(&b, list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(b.String()) {
		if words := strings.Fields(line); strings.HasPrefix(line, "2026") {
			got = append(got, words[0]+" "+words[len(words)-1])
		}
	}
	var want []string
	for _, hour := range []string{hours[2], hours[0], hours[1]} {
		want = append(want, hour+" $1.00", hour+" <$0.01")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the order (-want +got):\n%s", diff)
	}
}

// TestUsageCommand asks a gateway that serves, and its database when it is gone.
func TestUsageCommand(t *testing.T) {
	alone(t)
	azure := newHeld(t)
	close(azure.release)
	path := filepath.Join(t.TempDir(), "a ledger #1.db")
	configuration := before(azure.URL, `listen: "127.0.0.1:0"`) + `
state: { ledger: { path: "` + path + `" } }
admin: { token: "` + adminToken + `" }
`
	p := serve(t, configuration)
	if resp := ask(t, http.DefaultClient, p.api, `"stream":true,`); resp.StatusCode != http.StatusOK {
		t.Fatalf("a request is answered %s", resp.Status)
	} else if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	admin := strings.TrimPrefix(p.admin, "http://")
	file := write(t, "weir.yaml", strings.Replace(configuration, "localhost:0", admin, 1))
	show := func(args ...string) result { return weir(t, "", append([]string{"usage", "-c", file}, args...)...) }

	// The row is written within a moment; nothing tells when.
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(show("-o", "csv").out, "default,1,") {
		if time.Now().After(deadline) {
			t.Fatalf("the request is not in the ledger: %+v", show("-o", "csv"))
		}
	}
	forms := [][]string{{"--by", "team,model,deployment,key"}, {"-o", "csv", "--by", "day,team"}, {"--team", "default", "-o", "csv"}, {"--team", "nobody", "-o", "csv"}}
	var asked []result
	for _, args := range forms {
		got := show(append(args, "--since", "1d", "--until", "2099-01-01")...)
		if got.code != exitOK || got.err != "" {
			t.Fatalf("weir usage %v: %+v", args, got)
		}
		asked = append(asked, got)
	}
	if !slices.Equal(strings.Fields(asked[0].out)[8:], strings.Fields(`TEAM MODEL DEPLOYMENT KEY REQUESTS ERRORS REFUSED INPUT OUTPUT COST
		default gpt-4o azure/gpt-4o - 1 0 0 8 1 <$0.01 total 1 0 0 8 1 <$0.01`)) {
		t.Errorf("the table:\n%s", asked[0].out)
	}
	if got := weir(t, "", "usage", "--url", p.admin+"/", "-o", "json"); got.code != exitError || !strings.Contains(got.err, "401") || !strings.Contains(got.err, "admin.token") {
		t.Errorf("without the token: %+v", got)
	}
	wrong := write(t, "weir.yaml", strings.Replace(strings.Replace(configuration, "localhost:0", admin, 1), adminToken, strings.ToUpper(adminToken), 1))
	if got := weir(t, "", "usage", "-c", wrong); got.code != exitError || !strings.Contains(got.err, "401") || got.out != "" || strings.Contains(got.err, "reading the ledger") {
		t.Errorf("with another token, and a database that could be read: %+v", got)
	}
	t.Setenv("WEIR_ADMIN_TOKEN", adminToken)
	if got := weir(t, "", "usage", "--url", p.admin, "-o", "json"); got.code != exitOK || !strings.Contains(got.out, `"team": "default"`) {
		t.Errorf("with the token in the environment: %+v", got)
	}
	t.Setenv("WEIR_ADMIN_TOKEN", "")

	p.stop()
	<-p.done
	for i, args := range forms {
		got := show(append(args, "--since", "1d", "--until", "2099-01-01")...)
		if got.code != exitOK || !strings.Contains(got.err, "nobody listens at "+p.admin+": reading the ledger itself, "+path) {
			t.Fatalf("weir usage %v without a gateway: %+v", args, got)
		}
		// The table's head has when since was, which may be in the next quarter by now.
		_, now, _ := strings.Cut(got.out, "\n")
		_, before, _ := strings.Cut(asked[i].out, "\n")
		if diff := cmp.Diff(before, now); diff != "" {
			t.Errorf("weir usage %v (-gateway +database):\n%s", args, diff)
		}
	}
	if got := show("--url", p.admin); got.code != exitError || !strings.Contains(got.err, "refused") || strings.Contains(got.err, "reading the ledger") {
		t.Errorf("with --url nothing else is read: %+v", got)
	}
}

// TestUsageCommandRefuses is what it says where nothing can be shown.
func TestUsageCommandRefuses(t *testing.T) {
	alone(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	answer := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	file := func(ledger string) string {
		return write(t, "weir.yaml", strings.Replace(before("https://127.0.0.1:1", ""), "localhost:0", strings.TrimPrefix(gone.URL, "http://"), 1)+"state: { ledger: { "+ledger+" } }\n")
	}
	other := write(t, "other.db", "no database")
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"nobody, and no database", []string{"-c", file("")}, exitError, "nobody listens at " + gone.URL + ", and state.ledger names no database"},
		{"nobody, and no file yet", []string{"-c", file(`path: "/nonexistent/ledger.db"`)}, exitError, "no gateway has written there yet"},
		{"nobody, and a file of another kind", []string{"-c", file(`path: "` + other + `"`)}, exitError, "holds no ledger"},
		{"nobody, and no server of the database", []string{"-c", file(`url: "postgres://u:canary-word@127.0.0.1:1/x"`)}, exitError, "state.ledger: "},
		{"something else", []string{"--url", answer(200, "<html>")}, exitError, "is it the admin address of a gateway?"},
		{"another JSON", []string{"--url", answer(200, "{}")}, exitError, "is it the admin address of a gateway?"},
		{"a redirect", []string{"--url", answer(302, "")}, exitError, "answered 302"},
		{"a refusal", []string{"--url", answer(403, `{"error":{"message":"Not you.\u001b[31m"}}`)}, exitError, "answered 403: Not you.\uFFFD[31m"},
		{"no URL", []string{"--url", "localhost:8081"}, exitUsage, "--url must be"},
		{"no form", []string{"-o", "xml"}, exitUsage, "--output must be table, json or csv"},
		{"no time", []string{"--since", "yesterday"}, exitUsage, `--since cannot be "yesterday"`},
		{"no column", []string{"--by", "color"}, exitUsage, `--by cannot be "color"`},
		{"an argument", []string{"team"}, exitUsage, "see weir usage --help"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := weir(t, "", append([]string{"usage"}, tt.args...)...)
			if got.code != tt.code || !strings.Contains(got.err, tt.says) || got.out != "" || strings.Contains(got.err, "canary-word") {
				t.Errorf("%v: %+v, want %d and %q", tt.args, got, tt.code, tt.says)
			}
		})
	}
}
