/**
 * Plays builds of Jenkinsfiles: groovy -cp tests/jenkins tests/jenkins/play.groovy BUILDS.json
 * The file holds a list of builds; standard output is the list of their results, each with its events.
 */
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import org.codehaus.groovy.control.CompilerConfiguration

def configuration = new CompilerConfiguration(scriptBaseClass: 'Steps')
def played = new JsonSlurper().parse(new File(args[0])).collect { build ->
  def player = new Player(build)
  def shell = new GroovyShell(getClass().classLoader, new Binding([player: player]), configuration)
  def problem = null
  try {
    player.script = shell.parse(new File(build.jenkinsfile).text, 'Jenkinsfile.groovy')
    player.script.run()
  } catch (Throwable caught) {
    problem = caught.toString()
  }
  [result: problem ? 'BROKEN' : player.result, problem: problem, events: player.events]
}
println JsonOutput.toJson(played)
