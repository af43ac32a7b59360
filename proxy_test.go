package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/azuresim"
	"weir/command"
	"weir/config"
	"weir/tokens"
	"weir/upstream"
	"weir/usage"
)

// plain is a gateway in front of one resource: two deployments of gpt-4o, a
// reasoning model, and one that nobody knows.
const plain = `
version: 1
server: { listen: "127.0.0.1:1" }
backends:
  east: { endpoint: "http://127.0.0.1:81", api_version: 2024-10-21, auth: { api_key: "${EAST_KEY}" } }
  west: { endpoint: "http://127.0.0.1:82", api_version: v1, auth: { api_key: "${WEST_KEY}" } }
models:
  gpt-4o:
    aliases: [chat]
    deployments:
      - { backend: east, deployment: gpt-4o-east, priority: 0 }
      - { backend: west, deployment: gpt-4o-west, priority: 1 }
  gpt-35-turbo: { deployments: [{ backend: east, deployment: gpt-35-turbo }] }
  gpt-5: { deployments: [{ backend: east, deployment: gpt-5 }] }
  mystery: { deployments: [{ backend: east, deployment: mystery }] }
  d2: { base_model: gpt-4o, deployments: [{ backend: west, deployment: d2 }] }
teams:
  search:
    owner: "#search"
    keys: [{ id: search-1, value: "${SEARCH_KEY}" }]
  other:
    models: [gpt-35-turbo]
    keys: [{ id: other-1, value: "${OTHER_KEY}" }]
resilience:
  retry: { backoff: { initial: 100ms, max: 1s, jitter: none } }
`

// The keys of the plain gateway.
const (
	searchKey = "sk-search-key-for-tests-only"
	otherKey  = "sk-other-key-for-tests-only"
	eastKey   = "east-resource-key"
	westKey   = "west-resource-key"
)

// world is a gateway, the resources behind it and a client before it, all in one
// bubble: connections are pipes and time is the bubble's.
type world struct {
	t       *testing.T
	east    *azuresim.Server // http://127.0.0.1:81
	west    *azuresim.Server // http://127.0.0.1:82
	client  *http.Client
	gateway *command.Gateway
	api     *pipes
	log     *bytes.Buffer // everything the gateway logs
	dialed  []string      // where the gateway connected to
	entered int           // connections that clients made

	mu      sync.Mutex
	records []usage.Record
}

// vocabularies are built once: they are large, and the same in every bubble.
var vocabularies = sync.OnceValue(func() *tokens.Encodings {
	e := new(tokens.Encodings)
	e.Warm(tokens.O200K, tokens.CL100K)
	return e
})

// bubble runs test in a world of its own. Edits of the configuration are pairs of
// what to replace and by what.
func bubble(t *testing.T, yaml string, test func(w *world), edits ...string) { //nolint:unparam // which gateway it is stands in each test
	t.Helper()
	bubbleOf(t, yaml, func(*command.Parts) {}, test, edits...)
}

// bubbleOf is bubble with a gateway whose parts are changed.
func bubbleOf(t *testing.T, yaml string, change func(*command.Parts), test func(w *world), edits ...string) {
	t.Helper()
	encodings := vocabularies()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, log: new(bytes.Buffer)}
		w.east = azuresim.New(azuresim.Config{Key: eastKey, Deployments: map[string]azuresim.Deployment{
			"gpt-4o-east":  {Model: "gpt-4o-2024-11-20"},
			"gpt-35-turbo": {Model: "gpt-35-turbo-0125"},
			"gpt-5":        {Model: "gpt-5-2025-08-07", Reasoning: true},
			"mystery":      {Model: "mystery"},
			"whisper":      {Model: "whisper-1"},
			"transcribe":   {Model: "gpt-4o-transcribe"},
		}})
		w.west = azuresim.New(azuresim.Config{Key: westKey, Region: "West US", Deployments: map[string]azuresim.Deployment{
			"gpt-4o-west": {Model: "gpt-4o-2024-11-20"},
			"d2":          {Model: "gpt-4o-2024-11-20"},
			"transcribe":  {Model: "gpt-4o-transcribe"},
			"image":       {Model: "gpt-image-1"},
		}})
		east, west := listen(t, &http.Server{Handler: w.east}), listen(t, &http.Server{Handler: w.west})
		transport := upstream.NewTransport(upstream.Connection{Connect: 5 * time.Second, PerHost: 16})
		transport.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) {
			w.mu.Lock()
			w.dialed = append(w.dialed, addr)
			w.mu.Unlock()
			switch addr {
			case "127.0.0.1:81":
				return east.dial()
			case "127.0.0.1:82":
				return west.dial()
			}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: io.ErrClosedPipe}
		}
		f := configure(t, strings.NewReplacer(edits...).Replace(yaml))
		parts := command.Parts{
			Transport: transport, Encodings: encodings, Sinks: []usage.Sink{w}, Jitter: func() float64 { return 0 },
			Log: slog.New(slog.NewJSONHandler(&lockedWriter{w: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		}
		change(&parts)
		g, err := command.Build(t.Context(), f, parts)
		if err != nil {
			t.Fatal(err)
		}
		closeLater(t, g)
		w.gateway, w.api = g, listen(t, command.NewServer(g.API, slog.New(slog.DiscardHandler)))
		client := &http.Transport{
			DisableCompression: true,
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				w.mu.Lock()
				w.entered++
				w.mu.Unlock()
				return w.api.dial()
			},
		}
		w.client = &http.Client{Transport: client, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		t.Cleanup(func() {
			client.CloseIdleConnections()
			transport.CloseIdleConnections()
		})
		test(w)
		synctest.Wait()
	})
}

// closeLater closes a gateway when the test is over.
func closeLater(t *testing.T, g *command.Gateway) {
	t.Helper()
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Errorf("closing the gateway: %v", err)
		}
	})
}

// configurations are those that were read already: nothing changes one, and most
// bubbles have the same.
var configurations sync.Map

func configure(t testing.TB, yaml string) *config.File {
	t.Helper()
	if f, ok := configurations.Load(yaml); ok {
		return f.(*config.File)
	}
	set := map[string]string{"EAST_KEY": eastKey, "WEST_KEY": westKey, "SEARCH_KEY": searchKey, "OTHER_KEY": otherKey}
	f, problems := config.Parse("weir.yaml", []byte(yaml), config.Options{
		Getenv: func(name string) (string, bool) { v, ok := set[name]; return v, ok },
	})
	if f == nil {
		t.Fatalf("the configuration is not valid: %v", problems)
	}
	configurations.Store(yaml, f)
	return f
}

// Take keeps the record.
func (w *world) Take(_ context.Context, r *usage.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, *r)
}

// record returns the record of the last request, once everything has settled.
func (w *world) record() usage.Record {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.records) == 0 {
		w.t.Fatal("no request was recorded")
	}
	return w.records[len(w.records)-1]
}

// asked returns what arrived at both resources, in order.
func (w *world) asked() []azuresim.Request {
	synctest.Wait()
	all := append(w.east.Requests(), w.west.Requests()...)
	slices.SortStableFunc(all, func(a, b azuresim.Request) int { return a.Time.Compare(b.Time) })
	return all
}

// calls returns what was asked of deployments: each one's name, and the
// temperature where the request had one.
func (w *world) calls() []string {
	w.t.Helper()
	var calls []string
	for _, r := range w.asked() {
		var body struct{ Temperature json.RawMessage }
		if err := json.Unmarshal(r.Body, &body); err != nil {
			w.t.Fatal(err)
		}
		calls = append(calls, strings.TrimSpace(r.Deployment+" "+string(body.Temperature)))
	}
	return calls
}

// unwell returns the deployments that are not simply free: the state of a breaker
// that is not closed, how long a rest lasts, how many requests are under way.
func (w *world) unwell() map[string]string {
	synctest.Wait()
	all := map[string]string{}
	for _, s := range w.gateway.Pool().States() {
		var says []string
		if s.Breaker != "closed" {
			says = append(says, s.Breaker)
		}
		if s.Rest > 0 {
			says = append(says, "rests "+s.Rest.String())
		}
		if s.InFlight > 0 {
			says = append(says, strconv.Itoa(s.InFlight)+" in flight")
		}
		if len(says) > 0 {
			all[s.Deployment] = strings.Join(says, ", ")
		}
	}
	return all
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func listen(t *testing.T, s *http.Server) *pipes {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	s.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = s.Serve(p) }()
	t.Cleanup(func() { _ = s.Close(); <-stopped })
	return p
}

func (p *pipes) dial() (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// reply is an answer as the client saw it.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
	took   time.Duration
}

// code returns the error's code, param and type.
func (r reply) code() (code, param, kind string) {
	var e struct {
		Error struct {
			Code, Param, Type *string
		}
	}
	_ = json.Unmarshal([]byte(r.body), &e)
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	return text(e.Error.Code), text(e.Error.Param), text(e.Error.Type)
}

// message returns the error's message.
func (r reply) message() string {
	var e struct{ Error struct{ Message string } }
	_ = json.Unmarshal([]byte(r.body), &e)
	return e.Error.Message
}

// events returns the data of a stream's events.
func (r reply) events() []string {
	var events []string
	for line := range strings.SplitSeq(r.body, "\n") {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			events = append(events, data)
		}
	}
	return events
}

// text returns the content of a plain answer or of a stream.
func (r reply) text() string {
	bodies := r.events()
	if len(bodies) == 0 {
		bodies = []string{r.body}
	}
	var b strings.Builder
	for _, body := range bodies {
		var chunk struct {
			Choices []struct {
				Message, Delta struct{ Content string }
			}
		}
		_ = json.Unmarshal([]byte(body), &chunk)
		for _, c := range chunk.Choices {
			b.WriteString(c.Message.Content + c.Delta.Content)
		}
	}
	return b.String()
}

// do sends a request with a team's key, unless headers, in pairs, hold another
// credential.
func (w *world) do(ctx context.Context, method, path, body string, headers ...string) reply {
	w.t.Helper()
	start := time.Now()
	resp, err := w.send(ctx, method, path, body, headers...)
	if err != nil {
		return reply{err: err, took: time.Since(start)}
	}
	got := w.finish(resp)
	got.took = time.Since(start)
	return got
}

// finish reads an answer to its end.
func (w *world) finish(resp *http.Response) reply {
	w.t.Helper()
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: string(b), err: err}
}

func (w *world) send(ctx context.Context, method, path, body string, headers ...string) (*http.Response, error) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	credential := true
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		credential = credential && headers[i] != "Authorization" && headers[i] != "api-key"
	}
	if credential {
		req.Header.Set("Authorization", "Bearer "+searchKey)
	}
	return w.client.Do(req)
}

// chat posts to /v1/chat/completions.
func (w *world) chat(body string, headers ...string) reply {
	w.t.Helper()
	return w.do(w.t.Context(), http.MethodPost, "/v1/chat/completions", body, headers...)
}

// say returns a chat body whose last message is text; more fields may follow.
func say(text string, fields ...string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	more := ""
	if len(fields) > 0 {
		more = "," + strings.Join(fields, ",")
	}
	return `{"model":"gpt-4o","messages":[{"role":"user","content":` + string(b) + `}]` + more + `}`
}

const stream = `"stream":true`

// keysOf returns the names of a JSON object, sorted.
func keysOf(t *testing.T, body string) []string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return slices.Sorted(maps.Keys(m))
}

// listing returns the ids and the items of a listing, or of one item.
func listing(t *testing.T, body string) (ids, items []string) {
	t.Helper()
	var list struct {
		Object string
		Data   []json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatal(err)
	}
	if list.Object != "list" {
		return nil, []string{body}
	}
	for _, item := range list.Data {
		var one struct{ ID string }
		if err := json.Unmarshal(item, &one); err != nil {
			t.Fatal(err)
		}
		ids, items = append(ids, one.ID), append(items, string(item))
	}
	return ids, items
}
