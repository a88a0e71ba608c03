package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// folderVariable names the folder of the run to the process that runs the tests.
const folderVariable = "TCP_PROXY_E2E_FOLDER"

// folderPrefix begins the name of such a folder.
const folderPrefix = "tcp-proxy-machines-"

// supervise runs this program again, as the process that runs the tests, and cleans up behind it however it ends: by
// itself, by its own time-out (go test -timeout) or by a signal to either. It returns the exit code. What runs that were
// killed have left is cleaned up first.
func supervise() int {
	if err := sweepOldRuns(); err != nil {
		fmt.Fprintln(os.Stderr, "clean up behind former runs:", err)
	}
	folder, err := os.MkdirTemp("", folderPrefix)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	lock, err := lockRun(folder)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer lock.Close()
	code, err := runTests(folder)
	if err := errors.Join(err, sweep(folder)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// lockRun marks the folder of a run as in use for as long as the file is open: flock(2). It fails with EWOULDBLOCK if
// another process has it.
func lockRun(folder string) (*os.File, error) {
	file, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", folder, err)
	}
	return file, nil
}

// runTests passes signals on to the process that runs the tests, and returns how it has ended.
func runTests(folder string) (code int, err error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(signals)
	tests := exec.Command(program, os.Args[1:]...)
	tests.Env = append(os.Environ(), folderVariable+"="+folder)
	tests.Stdin, tests.Stdout, tests.Stderr = os.Stdin, os.Stdout, os.Stderr
	runtime.LockOSThread() // the signal comes when the thread ends that has started the process: prctl(2)
	tests.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := tests.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				_ = tests.Process.Signal(s) // or it has ended
				time.AfterFunc(5*time.Second, func() { _ = tests.Process.Kill() })
			case <-ended:
				return
			}
		}
	}()
	err = tests.Wait()
	close(ended)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return exit.ExitCode(), nil
	case err != nil:
		return 0, fmt.Errorf("the tests have ended: %w", err)
	}
	return 0, nil
}

// sweepOldRuns cleans up behind runs whose processes have both been killed.
func sweepOldRuns() error {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, folder := range folders {
		lock, err := lockRun(folder)
		if err != nil {
			if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
			continue
		}
		errs = append(errs, sweep(folder))
		lock.Close()
	}
	return errors.Join(errs...)
}

// sweep ends the machines of the run with that folder, and removes their cgroups, their mounts, and the folder.
func sweep(folder string) error {
	root, err := cgroupRoot()
	if err != nil {
		return err
	}
	cgroups, err := filepath.Glob(filepath.Join(root, filepath.Base(folder)+"-*"))
	if err != nil {
		return err
	}
	for _, cgroup := range cgroups {
		// Kills every process in it and below it: cgroup.kill in Documentation/admin-guide/cgroup-v2.rst of Linux.
		err = errors.Join(err, os.WriteFile(filepath.Join(cgroup, "cgroup.kill"), []byte("1"), 0), removeCgroup(cgroup))
	}
	mounts, listErr := mountsBelow(folder)
	err = errors.Join(err, listErr)
	for _, mount := range slices.Backward(mounts) {
		err = errors.Join(err, unix.Unmount(mount, unix.MNT_DETACH))
	}
	if err != nil {
		return fmt.Errorf("clean up %s: %w", folder, err)
	}
	return os.RemoveAll(folder)
}

// mountsBelow lists what is mounted below a folder, in the order in which it was: proc_pid_mountinfo(5).
func mountsBelow(folder string) ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var mounts []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && strings.HasPrefix(fields[4], folder+"/") {
			mounts = append(mounts, fields[4])
		}
	}
	return mounts, lines.Err()
}
