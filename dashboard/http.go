package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// API is where the JSON behind the page begins.
const API = "/admin/v1/"

// Routes returns what the dashboard serves to those who may use the admin
// endpoints, by method and path.
func (d *Dashboard) Routes() map[string]http.Handler {
	serve := func(f func(w http.ResponseWriter, r *http.Request) *Problem) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			harden(w.Header())
			w.Header().Set("Cache-Control", "no-store")
			if p := f(w, r); p != nil {
				d.refuse(w, r, p)
			}
		})
	}
	return map[string]http.Handler{
		"GET " + API + "stats":       serve(d.getStats),
		"GET " + API + "stream":      serve(d.stream),
		"GET " + API + "requests":    serve(d.getRequests),
		"GET " + API + "teams":       serve(d.getTeams),
		"GET " + API + "deployments": serve(d.getDeployments),
		"GET " + API + "config":      serve(d.getConfig),
		"POST " + API + "playground": serve(d.play),
	}
}

// refuse answers with a problem, unless an answer has begun.
func (d *Dashboard) refuse(w http.ResponseWriter, r *http.Request, p *Problem) {
	if d.cfg.Refuse != nil {
		d.cfg.Refuse(w, r, p)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"message": p.Message, "param": p.Param}}) // a client that is gone sees nothing
}

// write answers with JSON.
func write(w http.ResponseWriter, v any) *Problem {
	b, err := json.Marshal(v)
	if err != nil {
		return &Problem{http.StatusInternalServerError, "", "The answer could not be written."}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // a client that is gone sees nothing
	return nil
}

// query reads the parameters of a request, of which there may be those named.
func query(r *http.Request, names ...string) (url.Values, *Problem) {
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &Problem{http.StatusBadRequest, "", "The query of the URL is malformed. Write name=value pairs with & between, and percent signs as %25."}
	}
	for name, all := range v {
		switch {
		case !slices.Contains(names, name) && len(names) == 0:
			return nil, &Problem{http.StatusBadRequest, "", fmt.Sprintf("There is no parameter %.60q. There are none.", name)}
		case !slices.Contains(names, name):
			return nil, &Problem{http.StatusBadRequest, "", fmt.Sprintf("There is no parameter %.60q. There are %s.", name, strings.Join(names, ", "))}
		case len(all) > 1:
			return nil, &Problem{http.StatusBadRequest, name, name + " is given more than once. Give it once."}
		}
	}
	return v, nil
}

// filterOf reads the filter of a request, which may have other parameters.
func (d *Dashboard) filterOf(r *http.Request, others ...string) (filter, *Problem) {
	v, p := query(r, append(filters(), others...)...)
	if p != nil {
		return filter{}, p
	}
	return newFilter(v, time.Now())
}

func (d *Dashboard) getStats(w http.ResponseWriter, r *http.Request) *Problem {
	v, p := query(r, "series")
	if p != nil {
		return p
	}
	now := time.Now()
	s, plain := d.stats(r.Context(), now)
	if v.Get("series") == "" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(slices.Clip(plain), '\n')) // a client that is gone sees nothing
		return nil
	}
	s.Series = d.series(now)
	return write(w, s)
}

// list is an answer of several.
type list[T any] struct {
	Object string `json:"object"` // list
	Data   []T    `json:"data"`
	Next   int64  `json:"next,omitempty"` // what before is for the next page; absent: there is none
}

func (d *Dashboard) getRequests(w http.ResponseWriter, r *http.Request) *Problem {
	f, p := d.filterOf(r, "limit", "before")
	if p != nil {
		return p
	}
	limit, p := number(r.URL.Query(), "limit", 100, 1000)
	if p != nil {
		return p
	}
	before, p := number(r.URL.Query(), "before", 0, 1<<62)
	if p != nil {
		return p
	}
	found, more := d.find(f, int(limit), before)
	out := list[Request]{Object: "list", Data: found}
	if more {
		out.Next = found[len(found)-1].N
	}
	return write(w, out)
}

// number reads a whole number from 1 to most, or takes another.
func number(v url.Values, name string, otherwise, most int64) (int64, *Problem) {
	text := v.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, &Problem{http.StatusBadRequest, name, fmt.Sprintf("%s is a whole number from 1 to %d.", name, most)}
	}
	return n, nil
}

// rowsOf are those of the overview that are of one kind, such as its teams.
type rowsOf[T any] struct {
	kind   string // the word for one of them, which is the parameter that asks for one too
	all    func(*Stats) []T
	name   func(T) string
	detail func(row T, now time.Time) any
}

// get answers with all of them, or with the details of the one that is asked for.
func (l rowsOf[T]) get(d *Dashboard, w http.ResponseWriter, r *http.Request) *Problem {
	v, p := query(r, l.kind)
	if p != nil {
		return p
	}
	now := time.Now()
	s, _ := d.stats(r.Context(), now)
	all, name := l.all(&s), v.Get(l.kind)
	if name == "" {
		return write(w, list[T]{Object: "list", Data: all})
	}
	i := slices.IndexFunc(all, func(row T) bool { return l.name(row) == name })
	if i < 0 {
		return &Problem{http.StatusNotFound, l.kind, "There is no such " + l.kind + " in the configuration."}
	}
	return write(w, l.detail(all[i], now))
}

// TeamDetail is one team with its plots and its keys.
type TeamDetail struct {
	Object string `json:"object"` // weir.team
	TeamRow
	Keys   []KeyRow `json:"keys"` // those that called in the last hour, the busiest first
	Series *Series  `json:"series"`
}

func (d *Dashboard) getTeams(w http.ResponseWriter, r *http.Request) *Problem {
	return rowsOf[TeamRow]{
		kind: "team", all: func(s *Stats) []TeamRow { return s.Teams }, name: func(t TeamRow) string { return t.Name },
		detail: func(t TeamRow, now time.Time) any {
			return TeamDetail{"weir.team", t, d.keys(t.Name, now), d.plotTeam(t.Name, now)}
		},
	}.get(d, w, r)
}

// PlaceDetail is one deployment with its plots and its history.
type PlaceDetail struct {
	Object string `json:"object"` // weir.deployment
	PlaceRow
	History []Change `json:"history"` // of its state, as it was seen each second, the newest first
	Series  *Series  `json:"series"`
	Latency *Series  `json:"latency_series"`
}

func (d *Dashboard) getDeployments(w http.ResponseWriter, r *http.Request) *Problem {
	return rowsOf[PlaceRow]{
		kind: "deployment", all: func(s *Stats) []PlaceRow { return s.Deployments }, name: func(p PlaceRow) string { return p.Name },
		detail: func(p PlaceRow, now time.Time) any {
			out := PlaceDetail{Object: "weir.deployment", PlaceRow: p, History: d.history(p.Name)}
			out.Series, out.Latency = d.plotPlace(p.Name, now)
			return out
		},
	}.get(d, w, r)
}

// history returns how the state of a deployment has changed, the newest first.
func (d *Dashboard) history(name string) []Change {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []Change{}
	if p := d.places[name]; p != nil {
		out = append(out, p.changes...)
	}
	slices.Reverse(out)
	return out
}

// configShown is the answer of GET /admin/v1/config.
type configShown struct {
	Object string `json:"object"` // weir.config
	Settings
	Version string    `json:"version"`
	Began   time.Time `json:"began,omitzero"`
	Demo    *Demo     `json:"demo,omitempty"`
}

func (d *Dashboard) getConfig(w http.ResponseWriter, r *http.Request) *Problem {
	if _, p := query(r); p != nil {
		return p
	}
	out := configShown{Object: "weir.config", Version: d.cfg.Version, Began: d.cfg.Began, Demo: d.cfg.Demo}
	if d.cfg.Settings != nil {
		out.Settings = d.cfg.Settings()
	}
	return write(w, out)
}

// tooLong reports whether a body was larger than may be read.
func tooLong(err error) bool {
	_, ok := errors.AsType[*http.MaxBytesError](err)
	return ok
}
