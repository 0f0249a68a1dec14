import java.nio.file.FileSystems
import java.nio.file.Files

/** The steps that the Jenkinsfiles use. What Jenkins would refuse is refused here; shell lines run for real. */
abstract class Steps extends Script {
  final Map<String, Map<String, byte[]>> stashes = [:]

  Player getPlayer() { binding.getVariable('player') as Player }
  File getWorkspace() { new File(player.build.workspace as String) }

  Object getEnv() { player.env }
  Object getParams() { player.params }
  Object getScm() { player.build.scm }

  void pipeline(Closure body) { player.play(Specification.read(body)) }
  void script(Closure body) { player.callInScript(body) }
  void timeout(Map arguments, Closure body) { player.timeout(arguments, body) }
  void echo(Object message) { player.note(event: 'echo', message: message.toString()) }
  void error(Object message) { throw new Player.Interruption('FAILURE', message.toString()) }
  Map file(Map arguments) { [kind: 'file', *: arguments] }

  void needNode(String step) {
    if (!player.nodes) throw new IllegalStateException("$step needs an agent, and stage '${player.stage}' has none")
    if (player.timeouts.any { it.fired }) throw new Player.Interruption('ABORTED', "$step was killed by a time-out that had passed")
  }

  void sh(Object command) {
    needNode('sh')
    if (!(command instanceof String)) throw new IllegalStateException("Groovy put a value into the shell line: $command")
    player.note(event: 'sh', command: command, node: player.nodes.last(), locks: player.locks.clone(),
                minutes: player.timeouts ? player.timeouts*.minutes.min() : 0)
    def build = player.build
    if (build.hangs && command =~ build.hangs) {
      if (!player.timeouts) throw new IllegalStateException("nothing ends '$command'")
      player.timeouts.last().fired = true
      throw new Player.Interruption('ABORTED', "timed out: $command")
    }
    if (build.aborted && command =~ build.aborted) throw new Player.Interruption('ABORTED', "aborted: $command")
    if (build.fails && command =~ build.fails) throw new Player.Interruption('FAILURE', "made to fail: $command")
    runShell(command)
  }

  void runShell(String command) {
    def builder = new ProcessBuilder('sh', '-xe', '-c', command).directory(workspace).redirectErrorStream(true)
    builder.environment().clear()
    builder.environment().putAll(player.environment())
    def process = builder.start()
    process.outputStream.close()
    def said = process.inputStream.text
    if (process.waitFor() != 0) throw new Player.Interruption('FAILURE', said.trim())
  }

  void checkout(Object source) {
    needNode('checkout')
    workspace.deleteDir()
    runOutside('git', 'clone', '--quiet', source.toString(), workspace.path)
    player.note(event: 'checkout')
  }

  static void runOutside(String... command) {
    def process = new ProcessBuilder(command).inheritIO().redirectOutput(new File('/dev/null')).start()
    if (process.waitFor() != 0) throw new Player.Interruption('FAILURE', command.join(' '))
  }

  void deleteDir() {
    needNode('deleteDir')
    workspace.deleteDir()
    workspace.mkdirs()
    player.note(event: 'deleteDir')
  }

  String readFile(String path) {
    needNode('readFile')
    new File(workspace, path).text
  }

  List<String> matching(String patterns) {
    def matchers = patterns.split(',').collect { FileSystems.default.getPathMatcher("glob:${it.trim()}") }
    def found = []
    workspace.eachFileRecurse(groovy.io.FileType.FILES) {
      def path = workspace.toPath().relativize(it.toPath())
      if (matchers.any { matcher -> matcher.matches(path) }) found << path.toString()
    }
    found.sort()
  }

  void archiveArtifacts(Map arguments) {
    needNode('archiveArtifacts')
    def found = matching(arguments.artifacts as String)
    if (!found) error("No artifacts found that match ${arguments.artifacts}")
    player.note(event: 'archived', files: found, fingerprint: arguments.fingerprint)
  }

  void junit(String patterns) {
    needNode('junit')
    if (!matching(patterns)) error("No test report files were found: $patterns")
    player.note(event: 'junit')
  }

  void stash(Map arguments) {
    needNode('stash')
    def found = matching(arguments.includes as String)
    if (!found) error("No files included in stash '${arguments.name}'")
    stashes[arguments.name] = found.collectEntries { [(it): new File(workspace, it).bytes] }
    player.note(event: 'stashed', files: found)
  }

  void unstash(String name) {
    needNode('unstash')
    if (!stashes[name]) error("No such saved stash '$name'")
    stashes[name].each { path, bytes ->
      def target = new File(workspace, path)
      Files.createDirectories(target.parentFile.toPath())
      target.bytes = bytes
    }
    player.note(event: 'unstashed')
  }

  void withCredentials(List<Map> bindings, Closure body) {
    def values = bindings.collectEntries {
      def content = player.build.credentials?.get(it.credentialsId)
      if (content == null) error("Could not find credentials entry with ID '${it.credentialsId}'")
      [(it.variable): content]
    }
    player.within(player.layers, values, body)
  }

  /** Waits for the first answer of somebody who may give one; without such an answer the time-out ends the build. */
  Object input(Map arguments) {
    player.note(event: 'asked', message: arguments.message.toString(), submitter: arguments.submitter, nodes: player.nodes.clone(),
                locks: player.locks.clone(), minutes: player.timeouts ? player.timeouts*.minutes.min() : 0)
    def allowed = (arguments.submitter ?: '').split(',')*.trim()
    def answer = player.build.answers?.find { !arguments.submitter || it.user in allowed }
    if (answer == null) throw new Player.Interruption('ABORTED', 'nobody who may answer did so in time')
    if (!answer.proceed) throw new Player.Interruption('ABORTED', "rejected by ${answer.user}")
    if (player.build.meanwhile) runOutside('sh', '-c', player.build.meanwhile as String)
    arguments.submitterParameter ? answer.user : null
  }
}
