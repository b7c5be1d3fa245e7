// A function as a program: it asks the local runtime API for its work and posts what came of it. The
// standard library is all it takes; `runtime: go1` runs any executable that does this.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"
)

// handle is the function itself: the payload goes in, the result comes out.
func handle(call http.Header, payload []byte) (any, error) {
	text := string(payload)
	log.Printf("%s: %d bytes", call.Get("x-fc-request-id"), len(text))
	switch text {
	case "fail":
		return nil, errors.New("as asked")
	case "panic":
		panic("as asked, too")
	}
	return map[string]any{
		"language":  "Go",
		"lines":     strings.Count(text, "\n"),
		"words":     len(strings.Fields(text)),
		"bytes":     len(text),
		"requestId": call.Get("x-fc-request-id"),
		"retries":   call.Get("x-fc-retry-count"),
		"ready":     ready,
	}, nil
}

// ready says whether the initializer has run; functions without one do not need it.
var ready = false

// What a delivery is for, by its header x-fc-function-type.
const (
	initializer = "1"
	preStop     = "2"
)

func run(call http.Header, payload []byte) (result any, err error) {
	switch call.Get("x-fc-function-type") {
	case initializer:
		ready = true
		return nil, nil
	case preStop:
		log.Print("stopping")
		return nil, nil
	}
	return handle(call, payload)
}

// ---- the loop

type frame struct {
	Path  string `json:"path"`
	Line  int    `json:"line"`
	Label string `json:"label"`
}

type failure struct {
	Message string  `json:"errorMessage"`
	Type    string  `json:"errorType"`
	Trace   []frame `json:"stackTrace,omitempty"`
	Exits   bool    `json:"shouldExit,omitempty"`
}

var base = "http://" + os.Getenv("FC_RUNTIME_API") + "/2020-11-11/runtime/invocation/"

func main() {
	log.SetFlags(0)
	for {
		answer, err := http.Get(base + "next")
		if err != nil {
			log.Fatal(err)
		}
		payload, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			log.Fatal(answer.Status, err)
		}
		id := answer.Header.Get("x-fc-request-id")
		result, failed := guarded(answer.Header, payload)
		if failed == nil {
			post(id+"/response", result)
			continue
		}
		body, _ := json.Marshal(failed)
		post(id+"/error", body)
		if failed.Exits {
			os.Exit(2)
		}
	}
}

// guarded turns an error or a panic of the function into what the platform shows.
func guarded(call http.Header, payload []byte) (body []byte, failed *failure) {
	defer func() {
		if cause := recover(); cause != nil {
			failed = &failure{Message: fmt.Sprint(cause), Type: fmt.Sprintf("%T", cause), Trace: trace(), Exits: true}
		}
	}()
	result, err := run(call, payload)
	if err == nil {
		body, err = json.Marshal(result)
	}
	if err != nil {
		return nil, &failure{Message: err.Error(), Type: fmt.Sprintf("%T", err)}
	}
	return body, nil
}

func trace() (found []frame) {
	callers := make([]uintptr, 50)
	frames := runtime.CallersFrames(callers[:runtime.Callers(4, callers)])
	for {
		next, more := frames.Next()
		found = append(found, frame{next.File, next.Line, next.Function})
		if !more {
			return found
		}
	}
}

func post(path string, body []byte) {
	answer, err := http.Post(base+path, "application/json", bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}
