package main_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"weir/azuresim"
	"weir/command"
	"weir/openai"
	"weir/upstream"
	"weir/usage"
)

// keptBy are the edits by which both deployments are asked in turn, the team other
// may use what search may, and ids are signed by the secrets, first by the first.
func keptBy(secrets ...string) []string {
	return []string{
		"priority: 1", "priority: 0", "models: [gpt-35-turbo]", "models: [gpt-4o, gpt-5]",
		"resilience:", "state: { secrets: [" + strings.Join(secrets, ", ") + "] }\nresilience:",
	}
}

// The secrets, and the key of the team other as a header.
const (
	oneSecret = `"${EAST_KEY}"`
	twoSecret = `"${WEST_KEY}"`
)

func asOther() []string { return []string{"Authorization", "Bearer " + otherKey} }

// another returns a world with the same resources, behind another gateway.
func (w *world) another(edits ...string) *world {
	w.t.Helper()
	t := w.t
	o := &world{t: t, east: w.east, west: w.west}
	doors := map[string]*pipes{"127.0.0.1:81": listen(t, &http.Server{Handler: w.east}), "127.0.0.1:82": listen(t, &http.Server{Handler: w.west})}
	transport := upstream.NewTransport(upstream.Connection{Connect: 5 * time.Second, PerHost: 16})
	transport.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) { return doors[addr].dial() }
	g, err := command.Build(t.Context(), configure(t, strings.NewReplacer(edits...).Replace(plain)), command.Parts{
		Transport: transport, Encodings: vocabularies(), Sinks: []usage.Sink{o}, Jitter: func() float64 { return 0 }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	closeLater(t, g)
	o.gateway, o.api = g, listen(t, command.NewServer(g.API, slog.New(slog.DiscardHandler)))
	client := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return o.api.dial() }}
	o.client = &http.Client{Transport: client}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		transport.CloseIdleConnections()
	})
	return o
}

// of sends a request for a stored response, without a body.
func (w *world) of(method, id, rest string) reply {
	w.t.Helper()
	return w.do(w.t.Context(), method, responsesPath+"/"+id+rest, "")
}

// TestStoredResponsesGoBack: everything that is asked of a response goes to the
// deployment that made it, by each form of the path, A15 among it.
func TestStoredResponsesGoBack(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		at := map[string]int{}
		for i := range 8 {
			w.east.Script(azuresim.Step{Gap: time.Minute})
			w.west.Script(azuresim.Step{Gap: time.Minute})
			made := w.respond(wish("hello "+strconv.Itoa(i), `"background":true`)).response(t)
			where := w.record().Deployment
			at[where]++
			for _, base := range []string{"/v1/responses/", "/responses/", "/openai/v1/responses/", "/openai/responses/"} {
				got := w.do(w.t.Context(), http.MethodGet, base+made.ID, "", "api-key", searchKey)
				if got.status != http.StatusOK || got.response(t).ID != made.ID || w.record().Deployment != where {
					t.Errorf("fetched by %s from %s, made by %s: %d %s", base, w.record().Deployment, where, got.status, got.body)
				}
			}
			items := w.of(http.MethodGet, made.ID, "/input_items?order=asc&limit=5&unknown=x")
			if items.status != http.StatusOK || !strings.Contains(items.body, "hello "+strconv.Itoa(i)) {
				t.Errorf("items: %d %s", items.status, items.body)
			}
			if last := w.lastAt(where); last.RawQuery != "limit=5&order=asc" || !strings.HasPrefix(last.Path, "/openai/v1/responses/resp_") {
				t.Errorf("asked %s?%s", last.Path, last.RawQuery)
			}
			w.cancels(made.ID, where)
			again := w.respond(wish("and then", `"previous_response_id":"`+made.ID+`"`))
			if next := again.response(t); again.status != http.StatusOK || next.Previous != made.ID || next.ID == made.ID || w.record().Deployment != where {
				t.Errorf("continued at %s: %d %s", w.record().Deployment, again.status, again.body)
			}
			gone := w.of(http.MethodDelete, made.ID, "")
			if gone.status != http.StatusOK || !strings.Contains(gone.body, `"id":"`+made.ID+`"`) || !strings.Contains(gone.body, `"deleted":true`) {
				t.Errorf("deleted: %d %s", gone.status, gone.body)
			}
			if late := w.of(http.MethodGet, made.ID, ""); late.status != http.StatusNotFound {
				t.Errorf("fetched what is deleted: %d %s", late.status, late.body)
			}
		}
		if len(at) != 2 {
			t.Errorf("made at %v", at)
		}
	}, keptBy(oneSecret)...)
}

// lastAt returns the last request that arrived at a deployment's resource.
func (w *world) lastAt(deployment string) azuresim.Request {
	at := w.east
	if strings.HasPrefix(deployment, "west/") {
		at = w.west
	}
	seen := at.Requests()
	return seen[len(seen)-1]
}

// cancels ends a response, with no body and no content type.
func (w *world) cancels(id, where string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://localhost"+responsesPath+"/"+id+"/cancel", http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+searchKey)
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	got := w.finish(resp)
	last := w.lastAt(where)
	if got.status != http.StatusOK || got.response(w.t).Status != "cancelled" || w.record().Deployment != where || last.Size != 0 || last.Header.Get("Content-Type") != "" {
		w.t.Errorf("canceled at %s: %d %s, %v", w.record().Deployment, got.status, got.body, last.Header)
	}
}

// TestStoredResponseStreamsAgain: a stream is taken up again where it was left.
func TestStoredResponseStreamsAgain(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		first := w.respond(wish("hello", stream, `"background":true`))
		id := first.response(t).ID
		got := w.of(http.MethodGet, id, "?stream=true&starting_after=3")
		if want := first.events()[4:]; got.status != http.StatusOK || !gocmp.Equal(want, got.events()) {
			t.Errorf("%d (-want +got):\n%s", got.status, gocmp.Diff(want, got.events()))
		}
	}, keptBy(oneSecret)...)
}

// TestStoredResponseIsChargedOnce: what a response used is charged when it is made,
// and again by nobody who looks at it.
func TestStoredResponseIsChargedOnce(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		r := w.respond(wish("hello", stream)).response(t)
		for _, rest := range []string{"", "/input_items", "?stream=true"} {
			if got := w.of(http.MethodGet, r.ID, rest); got.status != http.StatusOK {
				t.Errorf("%s: %d %s", rest, got.status, got.body)
			}
			if rec := w.record(); rec.Input+rec.Output != 0 || rec.Cost != 0 || rec.Outcome != usage.OK || rec.Model != "gpt-4o" {
				t.Errorf("%s: recorded %+v", rest, rec)
			}
		}
		if requests, tokens := w.spent(); requests != 4 || tokens != r.Usage.Input+r.Usage.Output {
			t.Errorf("charged %d requests, %d tokens of %+v", requests, tokens, r.Usage)
		}
	}, append(keptBy(oneSecret), limited(measured)...)...)
}

// TestBackgroundIsCharged: what upstream makes while nobody listens is charged by
// what was reserved for it, for no later answer is.
func TestBackgroundIsCharged(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		r := w.respond(wish("hello", `"background":true`, `"max_output_tokens":400`)).response(t)
		rec := w.record()
		if r.Status != "queued" || !rec.Counted || rec.Output != 400 || rec.Input == 0 {
			t.Errorf("%s: recorded %+v", r.Status, rec)
		}
		if _, tokens := w.spent(); tokens != rec.Input+400 {
			t.Errorf("%d tokens charged", tokens)
		}
		streamed := w.respond(wish("hello", `"background":true`, `"max_output_tokens":400`, stream)).response(t)
		if rec := w.record(); rec.Counted || rec.Output != streamed.Usage.Output {
			t.Errorf("of one that tells, recorded %+v", rec)
		}
	}, append(keptBy(oneSecret), limited(measured)...)...)
}

// TestForeignIDs: an id that was not given to the team is no id, and nobody is asked.
func TestForeignIDs(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		mine := w.respond(wish("hello"))
		id := mine.response(t).ID
		theirs := w.respond(wish("hello"), asOther()...).response(t).ID
		before := len(w.asked())
		chance := rand.New(rand.NewPCG(1, 2))
		ids := append(forged(chance, id, theirs, 500), theirs, "resp_0a1b", strings.Replace(id, "resp_", "enc_", 1), strings.Replace(id, "resp_", "file-", 1))
		for i, id := range ids {
			method, rest := http.MethodGet, []string{"", "/input_items", "?stream=true", "/cancel"}[i%4]
			if rest == "/cancel" {
				method = http.MethodPost
			} else if i%5 == 0 {
				method, rest = http.MethodDelete, ""
			}
			got := w.of(method, id, rest)
			if code, param, kind := got.code(); got.status != http.StatusNotFound || code != "not_found" || param != "id" || kind != "invalid_request_error" {
				t.Errorf("%s %s%s: %d %s", method, id, rest, got.status, got.body)
			}
			got = w.respond(wish("x", `"previous_response_id":"`+id+`"`))
			if code, param, _ := got.code(); got.status != http.StatusBadRequest || code != "previous_response_not_found" || param != "previous_response_id" {
				t.Errorf("previous %s: %d %s", id, got.status, got.body)
			}
		}
		if n := len(w.asked()); n != before {
			t.Errorf("%d requests arrived", n-before)
		}
		if got := w.of(http.MethodGet, id, ""); got.status != http.StatusOK {
			t.Errorf("the true one: %d %s", got.status, got.body)
		}
	}, keptBy(oneSecret)...)
}

// forged returns n ids that nobody was given: of another secret, of another team,
// cut, lengthened, changed in a bit, mixed of two, or mere chance.
func forged(chance *rand.Rand, mine, theirs string, n int) []string {
	return forgedAs("resp_", chance, mine, theirs, n)
}

// forgedAs is forged for ids that begin with kind.
func forgedAs(kind string, chance *rand.Rand, mine, theirs string, n int) []string {
	stranger, err := openai.NewSigner("the secret of some other gateway")
	if err != nil {
		panic(err)
	}
	ids := make([]string, 0, n)
	for i := range n {
		raw := make([]byte, 40+chance.IntN(60))
		for k := range raw {
			raw[k] = byte(chance.Uint32())
		}
		text := base64.RawURLEncoding.EncodeToString(raw)
		at := len(kind) + 1 + chance.IntN(len(mine)-len(kind)-1)
		switch i % 6 {
		case 0:
			ids = append(ids, stranger.Sign(kind, "search", "east/gpt-4o-east", kind+hex.EncodeToString(raw[:24])))
		case 1:
			ids = append(ids, mine[:at])
		case 2:
			ids = append(ids, mine+text[:1+chance.IntN(20)])
		case 3:
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
			c := (strings.IndexByte(alphabet, mine[at]) + 1 + chance.IntN(len(alphabet)-1)) % len(alphabet)
			ids = append(ids, mine[:at]+alphabet[c:c+1]+mine[at+1:])
		case 4:
			at = min(at, min(len(mine), len(theirs))-16) // behind it all of them differ
			ids = append(ids, mine[:at]+theirs[at:])
		default:
			ids = append(ids, kind+"1"+text)
		}
	}
	return ids
}

// TestNoForgedIDOpens is the same of 10,000 ids, without the way to the signer.
func TestNoForgedIDOpens(t *testing.T) {
	t.Parallel()
	s, err := openai.NewSigner(eastKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"resp_", "file-", "assistant-", "batch_", "chatcmpl-"} {
		mine := s.Sign(kind, "search", "east/gpt-4o-east", kind+"0011223344556677")
		theirs := s.Sign(kind, "other", "east/gpt-4o-east", kind+"8899aabbccddeeff")
		for _, id := range append(forgedAs(kind, rand.New(rand.NewPCG(3, 4)), mine, theirs, 10_000), theirs) {
			if owner, upstream, ok := s.Open("search", id); ok {
				t.Errorf("%s opens as %s of %s", id, upstream, owner)
			}
		}
	}
}

// TestIDsOutliveTheirGateway: another gateway with the secret knows an id, also while
// secrets change, and one without it does not.
func TestIDsOutliveTheirGateway(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		secrets []string
		knows   bool
	}{
		{"the same secret", []string{oneSecret}, true},
		{"a new one before it", []string{twoSecret, oneSecret}, true},
		{"a coming one behind it", []string{oneSecret, twoSecret}, true},
		{"another secret", []string{twoSecret}, false},
		{"none", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, plain, func(w *world) {
				id := w.respond(wish("hello")).response(t).ID
				status, next := http.StatusOK, http.StatusOK
				if !tt.knows {
					status, next = http.StatusNotFound, http.StatusBadRequest
				}
				edits := keptBy(tt.secrets...)
				o := w.another(edits...)
				if got := o.of(http.MethodGet, id, ""); got.status != status {
					t.Errorf("at another gateway: %d %s", got.status, got.body)
				}
				if got := o.respond(wish("x", `"previous_response_id":"`+id+`"`)); got.status != next {
					t.Errorf("continued at another gateway: %d %s", got.status, got.body)
				}
				w.reload(edits...)
				if got := w.of(http.MethodGet, id, ""); got.status != status {
					t.Errorf("after a reload: %d %s", got.status, got.body)
				}
			}, keptBy(oneSecret)...)
		})
	}
}

// TestEncryptedReasoningGoesBack: what only the resource can read that wrote it is
// marked with the resource on its way out, and is as it was on its way in.
func TestEncryptedReasoningGoesBack(t *testing.T) {
	t.Parallel()
	const include = `"include":["reasoning.encrypted_content"],"store":false`
	for _, streamed := range []string{`"stream":false`, stream} {
		bubble(t, plain, func(w *world) {
			w.east = azuresim.New(azuresim.Config{Key: eastKey, Deployments: map[string]azuresim.Deployment{"gpt-4o-east": {Reasoning: true}}})
			w.west = azuresim.New(azuresim.Config{Key: westKey, Deployments: map[string]azuresim.Deployment{"gpt-4o-west": {Reasoning: true}}})
			w = w.another(append(keptBy(oneSecret), "gpt-4o:\n", "gpt-4o:\n    base_model: gpt-5\n")...)
			for range 4 {
				got := w.respond(wish("hello", include, streamed))
				where := w.record().Deployment
				r := got.response(t)
				if len(r.Output) != 2 || !strings.HasPrefix(r.Output[0].Sealed, "enc_1") || strings.Contains(got.body, `"gAAA`) {
					t.Fatalf("%d %s", got.status, got.body)
				}
				item := `{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"` + r.Output[0].Sealed + `"}`
				body := `{"model":"gpt-4o","store":false,"input":[{"role":"user","content":"hello"},` + item + `,{"role":"user","content":"more"}]}`
				for range 3 {
					if got := w.respond(body); got.status != http.StatusOK || w.record().Deployment != where {
						t.Errorf("made by %s, asked %s: %d %s", where, w.record().Deployment, got.status, got.body)
					}
				}
				seen := w.asked()
				if sent := string(w.lastAt(where).Body); !strings.Contains(sent, `"encrypted_content":"gAAA`) || strings.Contains(sent, "enc_1") {
					t.Errorf("sent %s", sent)
				}
				if got := w.respond(body, asOther()...); got.status != http.StatusBadRequest || len(w.asked()) != len(seen) {
					t.Errorf("another team's: %d %s", got.status, got.body)
				}
			}
		})
	}
}

// TestStoredResponseKeepsItsName: of two deployments of a resource the one that made
// a response is asked for it, and its id stays as it was.
func TestStoredResponseKeepsItsName(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		for range 4 {
			id := w.respond(wish("hello")).response(t).ID
			where := w.record().Deployment
			for range 3 {
				if got := w.of(http.MethodGet, id, ""); got.response(t).ID != id || w.record().Deployment != where {
					t.Errorf("made by %s, fetched from %s: %d %s", where, w.record().Deployment, got.status, got.body)
				}
			}
		}
	}, append([]string{"{ backend: west, deployment: gpt-4o-west, priority: 1 }", "{ backend: east, deployment: mystery, priority: 0 }"}, keptBy(oneSecret)...)...)
}

// TestResponseGoesOnWithAnotherModel: a response is its resource's, so that another
// model there may go on with it.
func TestResponseGoesOnWithAnotherModel(t *testing.T) {
	t.Parallel()
	bubble(t, plain, func(w *world) {
		id := w.respond(wish("hello")).response(t).ID
		for w.record().Deployment != "east/gpt-4o-east" {
			id = w.respond(wish("hello")).response(t).ID
		}
		got := w.respond(strings.Replace(wish("more", `"previous_response_id":"`+id+`"`), "gpt-4o", "gpt-5", 1))
		if got.status != http.StatusOK || w.record().Deployment != "east/gpt-5" {
			t.Errorf("asked %s: %d %s", w.record().Deployment, got.status, got.body)
		}
	}, keptBy(oneSecret)...)
}
