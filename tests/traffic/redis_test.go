package traffic

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tcp-proxy/tests/harness"
)

func redis(t *testing.T, r *harness.Rig) string {
	t.Helper()
	address := r.Address()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program(t, "redis-server"),
		"--bind", host, "--port", port, "--dir", folder(r, "redis", nil), "--save", "", "--appendonly", "no")
	serve(t, command, address, syscall.SIGTERM)
	return address
}

func TestRedis(t *testing.T) {
	harness.EachEngine(t, func(t *testing.T, engine string) {
		r := harness.New(t, engine)
		server := redis(t, r)
		p := through(r, server)
		host, port, err := net.SplitHostPort(p.Address())
		if err != nil {
			t.Fatal(err)
		}
		for _, load := range [][]string{
			{"-c", "50", "-n", "20000", "-t", "set,get,lpush,lrange_100"},
			{"-c", "20", "-n", "2000", "-d", "50000", "-t", "set,get"},
			{"-c", "20", "-n", "50000", "-P", "16", "-t", "incr"},
			{"-c", "10", "-n", "1000", "-k", "0", "-t", "ping"}, // a connection for every request
		} {
			text := run(t, "redis-benchmark", append([]string{"-h", host, "-p", port, "--csv"}, load...)...)
			if strings.Contains(strings.ToLower(text), "error") || !strings.Contains(text, `"rps"`) {
				t.Errorf("redis-benchmark %q:\n%s", load, text)
			}
		}

		// What is written through the proxy is there, and what is there is read through it.
		proxied, direct := dialRedis(r, p.Address()), dialRedis(r, server)
		if got, err := direct.do("GET", "counter:__rand_int__"); err != nil || string(got) != "50000" {
			t.Errorf("the counter after 50000 increments: %s, %v", got, err)
		}
		for i, size := range []int{0, 1, 100, 10_000, 1_000_000, 20_000_000} {
			for _, way := range []struct {
				name     string
				from, to redisClient
			}{{"up", proxied, direct}, {"down", direct, proxied}} {
				key, want := fmt.Sprint(way.name, size), harness.Bytes(uint64(i), size)
				if answer, err := way.from.do("SET", key, string(want)); err != nil || string(answer) != "OK" {
					t.Fatalf("SET %s: %s, %v", key, answer, err)
				}
				if got, err := way.to.do("GET", key); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("GET %s: %d bytes, %v; not what was set", key, len(got), err)
				}
			}
		}
		checkRecords(t, p, 1000)
	})
}

// A redisClient speaks as much of RESP as the test needs: https://redis.io/docs/latest/develop/reference/protocol-spec/.
type redisClient struct {
	conn   *harness.Conn
	reader *bufio.Reader
}

func dialRedis(r *harness.Rig, address string) redisClient {
	r.T.Helper()
	conn := r.Dial(address)
	return redisClient{conn, bufio.NewReader(conn)}
}

// do sends a command and returns the answer, a simple string or a bulk string.
func (c redisClient) do(words ...string) ([]byte, error) {
	command := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, word := range words {
		command = fmt.Appendf(command, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := c.conn.Write(command); err != nil {
		return nil, err
	}
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}
	switch line = strings.TrimSuffix(line, "\r\n"); line[0] {
	case '+':
		return []byte(line[1:]), nil
	case '$':
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 {
			return nil, fmt.Errorf("answer %q", line)
		}
		data := make([]byte, n+len("\r\n"))
		_, err = io.ReadFull(c.reader, data)
		return data[:n], err
	}
	return nil, fmt.Errorf("answer %q", line)
}
