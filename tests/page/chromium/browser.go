// Package chromium drives a real, headless Chromium: it talks the DevTools protocol with it over a pipe.
package chromium

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// timeout is how long the browser may take to answer.
const timeout = 20 * time.Second

// Browser is a running one.
type Browser struct {
	command *exec.Cmd
	folder  string
	in      *os.File
	ended   chan struct{}
	why     error // set before ended is closed

	mu      sync.Mutex // guards what follows, and writing
	last    int
	waiting map[int]chan message
	tabs    map[string]*Tab // by session
}

// message is a call, its answer, or an event.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// Start starts a browser that has nothing of anybody and asks for nothing by itself. Close ends it.
func Start() (*Browser, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		path, err = exec.LookPath("chromium-headless-shell") // the same without windows, and with fewer packages
	}
	if err != nil {
		return nil, fmt.Errorf("there is no browser, which `make deps` installs: %w", err)
	}
	folder, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		return nil, err
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command := exec.Command(path, "--headless", "--remote-debugging-pipe", "--user-data-dir="+folder, "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--no-proxy-server", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-breakpad", "--hide-scrollbars",
		"--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows")
	command.Env = append(os.Environ(), "HOME="+folder, "TZ=UTC")
	command.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = command.Start()
	theirIn.Close()
	theirOut.Close()
	if err != nil {
		return nil, err
	}
	b := &Browser{
		command: command, folder: folder, in: in, ended: make(chan struct{}),
		waiting: map[int]chan message{}, tabs: map[string]*Tab{},
	}
	go b.listen(out)
	return b, nil
}

// Close ends the browser with all that it has started, and takes away its files.
func (b *Browser) Close() error {
	b.call("", "Browser.close", nil, nil) // its answer does not matter: it is killed if it stays
	select {
	case <-b.ended:
	case <-time.After(timeout):
	}
	syscall.Kill(-b.command.Process.Pid, syscall.SIGKILL)
	b.command.Wait()
	b.in.Close()
	return os.RemoveAll(b.folder)
}

// listen takes what the browser says until it ends.
func (b *Browser) listen(out *os.File) {
	defer out.Close()
	reader := bufio.NewReaderSize(out, 1<<20)
	for {
		said, err := reader.ReadBytes(0)
		var m message
		if err == nil {
			err = json.Unmarshal(said[:len(said)-1], &m)
		}
		if err != nil {
			b.why = fmt.Errorf("the browser has ended: %w", err)
			close(b.ended)
			return
		}
		b.mu.Lock()
		answer, tab := b.waiting[m.ID], b.tabs[m.Session]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		switch {
		case answer != nil:
			answer <- m
		case tab != nil && m.Method != "":
			tab.happened(m.Method, m.Params)
		}
	}
}

// call calls a method, in a session unless that is empty, and decodes its result unless that is nil.
func (b *Browser) call(session, method string, params, result any) error {
	given, err := json.Marshal(params)
	if err != nil {
		return err
	}
	if params == nil {
		given = nil
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.last++
	said, err := json.Marshal(message{ID: b.last, Session: session, Method: method, Params: given})
	if err == nil {
		b.waiting[b.last] = answer
		_, err = b.in.Write(append(said, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	wait, done := context.WithTimeout(context.Background(), timeout)
	defer done()
	select {
	case m := <-answer:
		if m.Error != nil {
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(m.Result, result)
	case <-b.ended:
		return fmt.Errorf("%s: %w", method, b.why)
	case <-wait.Done():
		return fmt.Errorf("%s: %w", method, errors.New("no answer"))
	}
}
